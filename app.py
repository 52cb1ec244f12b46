"""Fuata: command line → services → page → launch.

Heavy libraries load behind the page, once it can be seen.
"""

import argparse
import logging
import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli.output import OneLineParser, say
from core.errors import EXIT_USER_ERROR, UserError, WorkspaceError
from core.storage import DEFAULT_FOLDER

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ui.accounts import Accounts
    from ui.api_access import ApiAccess
    from ui.services import Services

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_MOST_CONNECTIONS = 1000
_LAST_S = 75.0  # a run is given sixty seconds to save its state


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C and return the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        check_host(chosen.host, has_auth=chosen.auth is not None, insists=chosen.allow_anyone)
        check_port(chosen.host, chosen.port)
        say("Fuata is starting; that takes some seconds …")
        accounts = _read_accounts(chosen.auth) if chosen.auth else None
        return _serve(chosen, accounts)
    except UserError as error:
        say(f"app.py: {' '.join(str(error).split())}")
        return EXIT_USER_ERROR


def check_host(host: str, *, has_auth: bool, insists: bool) -> None:
    """Refuse to show a user's data and machine to a network without a password.

    Raises WorkspaceError.
    """
    if host not in _LOOPBACK and not has_auth and not insists:
        raise WorkspaceError(
            f"--host {host} lets others on the network in: add --auth FILE with a "
            "'name:password' per line, "
            "or --allow-anyone if that is what you want."
        )


def check_port(host: str, port: int) -> None:
    """Raise WorkspaceError when the address cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if sys.platform == "win32":  # where the usual option would let two listen at one address
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise WorkspaceError(
                f"Port {port} on {host} is in use or not ours: choose another with --port."
            ) from error


def _read_accounts(path: Path) -> "Accounts":
    from ui.accounts import read_accounts

    return read_accounts(path)


def build_app(
    services: "Services", host: str = "127.0.0.1", accounts: "Accounts | None" = None
) -> "FastAPI":
    """Return the web application: the pages, and the address that programs ask where that is open,
    behind the wrappers that keep others out.
    """
    from fastapi import FastAPI

    from ui.api.routes import build_api
    from ui.gate import Gate
    from ui.middleware import LOOPBACK_HOSTS, SameOrigin, SecurityHeaders, SmallRequests
    from ui.page import mount_pages, page_head

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    if accounts is not None:  # the innermost wrapper: what the others refuse never comes to it
        app.add_middleware(Gate, accounts=accounts, cookie=f"fuata-{secrets.token_hex(4)}")
    app.add_middleware(SmallRequests)
    # A server on the network is reached by names we cannot know; there the password keeps others
    # out.
    app.add_middleware(SameOrigin, hosts=LOOPBACK_HOSTS if host in _LOOPBACK else frozenset())
    app.add_middleware(SecurityHeaders, head=page_head())
    app.include_router(build_api(services))
    return mount_pages(app, services, asks_who=accounts is not None)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="app.py", description="Teach a model to follow instructions, and judge the result."
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default: 7860)")
    parser.add_argument(
        "--workspace",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="DIR",
        help="folder of runs and ratings",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=0,
        metavar="N",
        help="that train a run together (default: one on each GPU, else one)",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    parser.add_argument(
        "--auth",
        type=Path,
        metavar="FILE",
        help="ask for a password: 'owner name:password' and 'name:password' lines",
    )
    parser.add_argument(
        "--api", action="store_true", help="answer programs at /v1, as OpenAI does, with a key"
    )
    parser.add_argument("--new-api-key", action="store_true", help="make another key for --api")
    parser.add_argument(
        "--allow-anyone", action="store_true", help="serve a network without a password"
    )
    return parser


def _serve(chosen: argparse.Namespace, accounts: "Accounts | None") -> int:
    from core.storage.process_lock import held
    from core.storage.workspace import Workspace
    from ui.services import build_services

    # one that cannot be opened is told before anything else
    workspace = Workspace(chosen.workspace)
    workspace.database.check()
    workspace.close()
    refusal = f"The workspace {chosen.workspace} is open in another Fuata: use that one, or give another with --workspace."
    # two would each take the other's waiting runs for lost
    with held(chosen.workspace / ".app.lock", refusal):
        return _run_server(build_services(chosen.workspace, chosen.processes), chosen, accounts)


def _run_server(
    services: "Services", chosen: argparse.Namespace, accounts: "Accounts | None"
) -> int:
    import uvicorn

    from ui.impatience import ImpatientProtocol

    _open_api(chosen, services.api)
    config = uvicorn.Config(
        build_app(services, chosen.host, accounts),
        host=chosen.host,
        port=chosen.port,
        log_level="warning",
        timeout_graceful_shutdown=3,
        limit_concurrency=_MOST_CONNECTIONS,
        http=ImpatientProtocol,
    )
    server = _quiet_at_the_end(uvicorn.Server(config))
    # who signs in, and who is refused
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    address = (
        f"http://{'[' + chosen.host + ']' if ':' in chosen.host else chosen.host}:{chosen.port}"
    )
    threading.Thread(
        target=_when_up,
        args=[server, address],
        kwargs={"open_browser": not chosen.no_browser},
        daemon=True,
    ).start()
    try:
        server.run()
    except KeyboardInterrupt:
        pass  # uvicorn re-raises the Ctrl-C that it has handled
    finally:
        say("Stopping; a run that is going on is saved first …")
        _end_for_certain()
        services.close()
    return 0


def _open_api(chosen: argparse.Namespace, access: "ApiAccess") -> None:
    """Answer programs where that is asked, and show the key that they need where it is new."""
    if chosen.new_api_key and not chosen.api:
        raise WorkspaceError("--new-api-key goes with --api: give both.")
    access.is_open = chosen.api
    if chosen.api and (chosen.new_api_key or not access.key.exists):
        say(f"The key for /v1, shown this once: {access.key.make()}")


def _end_for_certain() -> None:
    """End this process after a while whatever its threads do: one may be in the middle of a library
    that never returns.
    """

    def end() -> None:
        say("Something would not stop; it is left behind.")
        os._exit(1)

    timer = threading.Timer(_LAST_S, end)
    timer.daemon = True
    timer.start()


def _quiet_at_the_end(server: Any) -> Any:
    """Keep open pages' broken connections off the terminal when the server is told to stop; they
    are no faults.
    """
    shut_down = server.shutdown

    async def shutdown(*values: Any, **named: Any) -> None:
        logging.getLogger("uvicorn.error").disabled = True
        await shut_down(*values, **named)

    server.shutdown = shutdown
    return server


def _when_up(server: Any, address: str, *, open_browser: bool) -> None:
    """Say where the page is, open it, and load what it will need."""
    while not server.started:
        if server.should_exit:
            return
        threading.Event().wait(0.05)
    say(f"Fuata is at {address}  (Ctrl-C stops it)")
    if open_browser:
        webbrowser.open(address)
    from core.libraries import import_libraries

    import_libraries()


if __name__ == "__main__":
    status = main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)  # threads of a library that still work on something are not waited for
