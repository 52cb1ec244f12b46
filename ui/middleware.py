"""What keeps other web pages out, foreign content harmless and requests small.

Plain ASGI; knows no screen. Gradio by itself answers any page that posts to a local app, any Host
name, and reads a body of any length; these wrappers close that.
"""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_MOST_BODY_BYTES = 8 * 2**20  # of any request but an upload, which Gradio bounds
_UPLOAD = "/gradio_api/upload"
_BODY_PATIENCE_S = 60.0  # between two pieces of a body
# Gradio compiles its components' templates with eval; scripts in the page have a nonce of each
# answer. What no policy stops: that
# a script leads the whole page to another address.
_POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; script-src-attr "
    "'none'; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; "
    "frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors "
    "'self'"
)
_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin"))
_SCRIPT = re.compile(rb"<script(?=[\s>])", re.IGNORECASE)


class SameOrigin:
    """Refuses requests whose Host is not ours, or which another page caused."""

    def __init__(self, app: App, hosts: Collection[str] = LOOPBACK_HOSTS) -> None:
        """``hosts`` are the names we answer to; empty answers to any, for a server that asks for a
        password.
        """
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403."""
        if scope["type"] in {"http", "websocket"} and not self._is_ours(scope):
            await _refuse(scope, send, 403, b"This address answers only the page it serves itself.")
            return
        await self.app(scope, receive, send)

    def _is_ours(self, scope: Message) -> bool:
        headers = {
            key.decode("latin-1").lower(): value.decode("latin-1")
            for key, value in scope["headers"]
        }
        host, origin = headers.get("host", ""), headers.get("origin")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if self.hosts and name not in self.hosts:
            return False
        if origin is not None and urlsplit(origin).netloc != host:
            return False
        return headers.get("sec-fetch-site", "none") in {"none", "same-origin"} or _is_a_link(
            scope, headers
        )


def _is_a_link(scope: Message, headers: MutableMapping[str, str]) -> bool:
    """Return whether a user follows another page's link to ours, which changes nothing."""
    is_page = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == (
        "navigate",
        "document",
    )
    return is_page and scope.get("method") in {"GET", "HEAD"}


class SecurityHeaders:
    """Adds the content security policy and its kin to every answer, and the policy's nonce to the
    scripts of a page.
    """

    def __init__(self, app: App, head: str = "") -> None:
        """Wrap an application; ``head`` is put first into the head of its pages, where scripts may
        stand.
        """
        self.app = app
        self.head = head.encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on and add headers to its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        page = _Page(send, nonce, self.head)
        asked = {
            **scope,
            "headers": [
                (key, value)
                for key, value in scope["headers"]
                if not _compresses_a_page(scope, key)
            ],
        }
        await self.app(asked, receive, page.send)


def _compresses_a_page(scope: Message, key: bytes) -> bool:
    """Return whether a header asks for a page to be compressed, into which no nonce could be put."""
    return key.lower() == b"accept-encoding" and any(
        b"text/html" in value for name, value in scope["headers"] if name == b"accept"
    )


class _Page:
    """An answer on its way; one that is a page is held until it is whole."""

    def __init__(self, send: Send, nonce: str, head: bytes) -> None:
        self._send = send
        self._head = head
        self._nonce = nonce
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            policy = (b"content-security-policy", _POLICY.format(nonce=self._nonce).encode())
            message["headers"] = [*message.get("headers", []), policy, *_HEADERS]
            if _is_page(message["headers"]):
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            await self._send_whole()
            return
        await self._send(message)

    async def _send_whole(self) -> None:
        assert self._start is not None
        is_gradios = b"window.gradio_config" in self._body
        whole = (
            self._body.replace(b"<head>", b"<head>" + self._head, 1) if is_gradios else self._body
        )
        body = _SCRIPT.sub(b'<script nonce="%s"' % self._nonce.encode(), whole)
        rest = [
            (key, value)
            for key, value in self._start["headers"]
            if key.lower() not in {b"content-length", b"etag"}
        ]
        await self._send(
            {**self._start, "headers": [*rest, (b"content-length", b"%d" % len(body))]}
        )
        await self._send({"type": "http.response.body", "body": body})


def _is_page(headers: Collection[tuple[bytes, bytes]]) -> bool:
    found = {key.lower(): value for key, value in headers}
    is_download = found.get(b"content-disposition", b"").startswith(b"attachment")
    return (
        found.get(b"content-type", b"").startswith(b"text/html")
        and b"content-encoding" not in found
        and not is_download
    )


class SmallRequests:
    """Refuses bodies that are too large or come too slowly, whoever sends them."""

    def __init__(
        self, app: App, most_bytes: int = _MOST_BODY_BYTES, patience_s: float = _BODY_PATIENCE_S
    ) -> None:
        """Wrap an application."""
        self.app = app
        self.most_bytes = most_bytes
        self.patience_s = patience_s

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 413 or 408."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        bounded = scope["path"].rstrip("/") != _UPLOAD  # the owner's page alone takes files
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if bounded and declared.isdigit() and int(declared) > self.most_bytes:
            await _refuse(scope, send, 413, b"This request is too large.")
            return
        body = _Body(receive, self.most_bytes if bounded else None, self.patience_s)
        began = False

        async def send_once(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self.app(scope, body.receive, send_once)
        except _RefusedBodyError as refused:
            if not began:
                await _refuse(scope, send, refused.status, refused.words)


class _RefusedBodyError(BaseException):
    """A body is not read further; no handler between here and there may take it for a fault of its
    own.
    """

    def __init__(self, status: int, words: bytes) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


class _Body:
    """A request's body, counted while it comes in."""

    def __init__(self, receive: Receive, most_bytes: int | None, patience_s: float) -> None:
        self._receive = receive
        self._left = most_bytes
        self._patience_s = patience_s
        self._is_whole = False

    async def receive(self) -> Message:
        if self._is_whole:  # what is waited for now is that the other side hangs up
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._patience_s)
        except TimeoutError:
            raise _RefusedBodyError(408, b"This request came too slowly.") from None
        self._is_whole = message["type"] != "http.request" or not message.get("more_body")
        if self._left is not None:
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise _RefusedBodyError(413, b"This request is too large.")
        return message


async def _refuse(scope: Message, send: Send, status: int, body: bytes) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
