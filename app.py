"""Fuata: command line → services → page → launch. Heavy libraries load behind the page, once it can be seen."""

import argparse
import logging
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError, WorkspaceError
from core.storage.workspace import DEFAULT_FOLDER
from core.terminal import PERSONS_MISTAKE, OneLineParser, say

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ui.services import Services

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C and return the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        check_host(chosen.host, has_auth=chosen.auth is not None, insists=chosen.allow_anyone)
        accounts = read_accounts(chosen.auth) if chosen.auth else None
        check_port(chosen.host, chosen.port)
        return _serve(chosen, accounts)
    except UserError as error:
        say(f"app.py: {' '.join(str(error).split())}")
        return PERSONS_MISTAKE


def check_host(host: str, *, has_auth: bool, insists: bool) -> None:
    """Refuse to show a person's data and machine to a network without a password. Raises WorkspaceError."""
    if host not in _LOOPBACK and not has_auth and not insists:
        raise WorkspaceError(
            f"--host {host} lets others on the network in: add --auth FILE with a 'name:password' per line, "
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
            raise WorkspaceError(f"Port {port} on {host} is in use or not ours: choose another with --port.") from error


def read_accounts(path: Path) -> list[tuple[str, str]]:
    """Return the (name, password) pairs of an accounts file. Raises WorkspaceError when it has none or a bad line."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise WorkspaceError(f"The accounts file {path} cannot be read: give a text file.") from error
    accounts = []
    for number, line in enumerate(lines, start=1):
        if not line or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        if not (name and colon and password):
            raise WorkspaceError(f"{path} line {number} is not 'name:password'.")
        accounts.append((name, password))
    if not accounts:
        raise WorkspaceError(f"{path} names nobody: write a 'name:password' per line.")
    return accounts


def build_app(services: "Services", host: str = "127.0.0.1", accounts: list[tuple[str, str]] | None = None) -> "FastAPI":
    """Return the web application: the page behind the wrappers that keep other pages out."""
    from fastapi import FastAPI

    from ui.page import mount_page
    from ui.security import LOOPBACK_HOSTS, SameOrigin, SecurityHeaders

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SecurityHeaders)
    # A server on the network is reached by names we cannot know; there the password keeps others out.
    app.add_middleware(SameOrigin, hosts=LOOPBACK_HOSTS if host in _LOOPBACK else frozenset())
    options: dict[str, Any] = {"auth": accounts} if accounts else {}
    return mount_page(app, services, **options)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="app.py", description="Teach a model to follow instructions, and judge the result.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default: 7860)")
    parser.add_argument("--workspace", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help="folder of runs and ratings")
    parser.add_argument(
        "--processes", type=int, default=0, metavar="N", help="that train a run together (default: one on each GPU, else one)"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    parser.add_argument("--auth", type=Path, metavar="FILE", help="ask for a password: 'name:password' per line")
    parser.add_argument("--allow-anyone", action="store_true", help="serve a network without a password")
    return parser


def _serve(chosen: argparse.Namespace, accounts: list[tuple[str, str]] | None) -> int:
    from core.storage.locks import held
    from core.storage.workspace import Workspace
    from ui.services import build_services

    Workspace(chosen.workspace).close()  # one that cannot be opened is told before anything else
    refusal = f"The workspace {chosen.workspace} is open in another Fuata: use that one, or give another with --workspace."
    with held(chosen.workspace / ".app.lock", refusal):  # two would each take the other's waiting runs for lost
        return _run_server(build_services(chosen.workspace, chosen.processes), chosen, accounts)


def _run_server(services: "Services", chosen: argparse.Namespace, accounts: list[tuple[str, str]] | None) -> int:
    import uvicorn

    config = uvicorn.Config(
        build_app(services, chosen.host, accounts), host=chosen.host, port=chosen.port, log_level="warning",
        timeout_graceful_shutdown=3,
    )  # fmt: skip
    server = _quiet_at_the_end(uvicorn.Server(config))
    address = f"http://{'[' + chosen.host + ']' if ':' in chosen.host else chosen.host}:{chosen.port}"
    threading.Thread(target=_when_up, args=[server, address], kwargs={"open_browser": not chosen.no_browser}, daemon=True).start()
    try:
        server.run()
    except KeyboardInterrupt:
        pass  # uvicorn re-raises the Ctrl-C that it has handled
    finally:
        say("Stopping; a run that is going on is saved first …")
        services.close()
    return 0


def _quiet_at_the_end(server: Any) -> Any:
    """Keep open pages' broken connections off the terminal when the server is told to stop; they are no faults."""
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
    import peft
    import torch
    import transformers

    _ = peft, torch, transformers.AutoModelForCausalLM


if __name__ == "__main__":
    sys.exit(main())
