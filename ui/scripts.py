"""The scripts of our components as ES modules, served at an address that changes whenever one does.

The address holds a hash of them all, so a browser may keep each for ever and never shows an old one
beside a new one; a module imports its neighbours by relative paths, below the same hash.
"""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response

SCRIPTS_PATH = "/fuata"
_UI = Path(__file__).parent
_NOT_LOADED = "A part of this page did not load. Load the page anew."
_KEPT = "private, max-age=31536000, immutable"


def mount_scripts(app: FastAPI, page_path: str = "") -> None:
    """Serve the modules below the page at ``page_path``, before anything else takes their path."""
    app.add_route(f"{page_path}{SCRIPTS_PATH}/{{version}}/{{path:path}}", _answer)


def script_address(path: Path) -> str:
    """Return the address of the module at ``path``.

    It is relative to a page's own, whichever page it is and below whatever path a proxy puts it.
    """
    name = path.relative_to(_UI).as_posix()
    if name not in _modules():
        raise FileNotFoundError(path)
    return f"{SCRIPTS_PATH.removeprefix('/')}/{_version()}/{name}"


def load_script(path: Path, events: Sequence[str] = ()) -> str:
    """Return what Gradio runs for a component: import the module at ``path`` and mount it.

    ``events`` are those of our own that the module triggers: Gradio looks for their names here.
    """
    return (
        f"/* events: {', '.join(map(repr, events))} */ "
        f'import(new URL("{script_address(path)}", document.baseURI)).then('
        "(module) => module.mount({ element, props, trigger, watch, server }), "
        "(reason) => { console.error(reason); "
        f"window.fuataTell({{ error: '{_NOT_LOADED}' }}); }});"
    )


async def _answer(request: Request) -> Response:
    # from memory, by its whole name: no path of a file is ever made from what was asked for
    module = _modules().get(request.path_params["path"])
    if module is None or request.path_params["version"] != _version():
        return PlainTextResponse("There is no such script.", 404)
    # the type is said here: Windows' registry may call a .js file plain text, which no browser runs
    return Response(module, media_type="text/javascript", headers={"cache-control": _KEPT})


@cache
def _modules() -> MappingProxyType[str, bytes]:
    """Return every module by its path below ui."""
    paths = sorted(_UI.rglob("*.js"))
    return MappingProxyType({path.relative_to(_UI).as_posix(): path.read_bytes() for path in paths})


@cache
def _version() -> str:
    digest = sha256()
    for name, module in _modules().items():
        digest.update(b"%d %s %d " % (len(name), name.encode(), len(module)) + module)
    return digest.hexdigest()[:16]
