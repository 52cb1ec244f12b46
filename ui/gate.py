"""Who may ask for what, where Fuata wants a password: an owner everything, a reviewer the page of
judging and nothing else.

Plain ASGI around the whole application: what stands on which page is decided by its address alone.
Knows no screen.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from ui.accounts import Account, Accounts
from ui.markup import fill_template
from ui.middleware import App, Message, Receive, Send
from ui.scripts import SCRIPTS_PATH

JUDGE_PATH = "/judge"
USER = "fuata_user"  # the key of a request's scope under which whoever signed in is named
# What the page of judging needs; all else under its path, as uploads and files, is nobody's there.
_OF_JUDGING = (
    "/",
    "/assets/",
    SCRIPTS_PATH + "/",
    "/static/",
    "/svelte/",
    "/theme.css",
    "/config",
    "/favicon.ico",
    "/manifest.json",
    "/gradio_api/run/",
    "/gradio_api/queue/",
    "/gradio_api/component_server",
    "/gradio_api/heartbeat/",
    "/gradio_api/startup-events",
    "/gradio_api/info",
    "/gradio_api/login_check",
    "/gradio_api/app_id",
)
_LONGEST_FORM_BYTES = 8192


API_PATH, HEALTH_PATH = "/v1/", "/health"


class Gate:
    """Lets nobody pass who has not signed in, and reviewers to their page alone."""

    def __init__(self, app: App, accounts: Accounts, cookie: str) -> None:
        """``cookie`` is the name of the session's."""
        self.app = app
        self.accounts = accounts
        self.cookie = cookie

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on with the name of who asks, or answer it here."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        account = self.accounts.find(self._token(scope))
        path, method = scope["path"], scope.get("method", "GET")
        if path.rstrip("/") == "/login":
            await (self._sign_in(scope, receive, send) if method == "POST" else _page(send, 200))
        elif path.rstrip("/") == "/logout" and method == "POST":
            self.accounts.sign_out(self._token(scope))
            await _redirect(
                send, "/login", f"{self.cookie}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
            )
        elif path.startswith(API_PATH) or path == HEALTH_PATH:  # which asks for a key of its own
            await self.app(scope, receive, send)
        elif account is None:
            await (
                _redirect(send, "/login")
                if _wants_a_page(scope)
                else _answer(send, 401, "Sign in first.")
            )
        elif not _may(account, path):
            await (
                _redirect(send, JUDGE_PATH + "/")
                if _wants_a_page(scope)
                else _answer(send, 403, "That is the owner's.")
            )
        else:
            await self.app({**scope, USER: account.name}, receive, send)

    async def _sign_in(self, scope: Message, receive: Receive, send: Send) -> None:
        form = await _read_form(receive)
        name, password = form.get("username", ""), form.get("password", "")
        address = str((scope.get("client") or ["?"])[0])
        if wait_s := self.accounts.wait_s(name, address):
            await _page(
                send,
                429,
                f"Too many wrong tries: wait {wait_s:.0f} s.",
                (b"retry-after", b"%d" % (wait_s + 1)),
            )
            return
        token = await _in_thread(self.accounts.sign_in, name, password, address)
        if token is None:
            await _page(send, 401, "The name or the password is wrong.")
            return
        account = self.accounts.find(token)
        home = "/" if account is not None and account.role == "owner" else JUDGE_PATH + "/"
        await _redirect(send, home, f"{self.cookie}={token}; Path=/; HttpOnly; SameSite=Lax")

    def _token(self, scope: Message) -> str:
        for key, value in scope.get("headers", ()):
            if key == b"cookie":
                for part in value.decode("latin-1").split(";"):
                    name, _, token = part.strip().partition("=")
                    if name == self.cookie:
                        return str(token)
        return ""


def signed_in_user(request: Any) -> str | None:
    """Return the user who signed in, or None when Fuata asks for no password.

    ``request`` is Gradio's, or of a server function the web request itself; the gate writes the
    name beside either.
    """
    web = getattr(request, "request", None) or request
    name: str | None = getattr(web, "scope", {}).get(USER)
    return name


def _may(account: Account, path: str) -> bool:
    if account.role == "owner" or path.startswith("/plotlyjs/"):
        return True
    rest = path.removeprefix(JUDGE_PATH)
    if rest == path or (rest and not rest.startswith("/")):
        return False
    return rest in {"", "/"} or any(rest.startswith(allowed) for allowed in _OF_JUDGING[1:])


def _wants_a_page(scope: Message) -> bool:
    headers: Mapping[bytes, bytes] = dict(scope.get("headers", ()))
    is_page = scope["path"].rstrip("/") in {"", JUDGE_PATH} or b"text/html" in headers.get(
        b"accept", b""
    )
    return scope["type"] == "http" and scope.get("method") == "GET" and is_page


async def _in_thread(function: object, *values: object) -> str | None:
    from starlette.concurrency import run_in_threadpool

    found: str | None = await run_in_threadpool(function, *values)  # type: ignore[arg-type]
    return found


async def _read_form(receive: Receive) -> dict[str, str]:
    body = b""
    while len(body) <= _LONGEST_FORM_BYTES:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    fields = parse_qs(
        body[:_LONGEST_FORM_BYTES].decode("utf-8", errors="replace"), keep_blank_values=True
    )
    return {name: values[0] for name, values in fields.items()}


async def _answer(
    send: Send, status: int, text: str, *headers: tuple[bytes, bytes], kind: bytes = b"text/plain"
) -> None:
    body = text.encode()
    sized = [
        (b"content-type", kind + b"; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": sized})
    await send({"type": "http.response.body", "body": body})


async def _redirect(send: Send, where: str, cookie: str = "") -> None:
    headers = [
        (b"location", where.encode()),
        *([(b"set-cookie", cookie.encode())] if cookie else []),
    ]
    await _answer(send, 303, "", *headers)


async def _page(send: Send, status: int, problem: str = "", *headers: tuple[bytes, bytes]) -> None:
    page = fill_template("sign_in", problem=problem)
    await _answer(send, status, page, *headers, kind=b"text/html")
