"""How tabs are wired and our own components are made. Knows no screen in particular.

Our components are ``gr.HTML`` drawn by three static files: a skeleton, its look and its script, an
ES module that exports ``mount``. No data ever stands in those files (Gradio would run it as a
program); it comes through ``value`` and server functions.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ui.scripts import load_script

# Options of events that answer quickly and quietly and must not wait for each other. Past Gradio's
# queue each is one request; in
# it a page's streams follow each other, and one that ends late takes the next one's answers along
# ("Unexpected error 404").
QUIET: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None, "queue": False}
# The same for events that follow a user's typing: of several answers on their way only the last is
# wanted.
FOLLOWING: dict[str, Any] = {**QUIET, "trigger_mode": "always_last"}
OPEN = "() => window.fuataOpen('{}')"  # the script that opens a tab, by its name: see page.js


def when_opened(
    tab: gr.Tab | None,
    refresh: Callable[..., Any],
    outputs: Sequence[Any],
    api_name: str,
    inputs: Sequence[Any] = (),
) -> Any:
    """Run ``refresh`` each time a tab is opened, or at page load for a tab that stands alone.

    What a page was built with is as old as the app; what runs, files and reviews there are is asked
    for at that moment.
    """
    return gr.on(
        [tab.select] if tab is not None else None,
        refresh,
        list(inputs),
        list(outputs),
        api_name=api_name,
        **QUIET,
    )


def follow(
    opened: Any,
    triggers: Sequence[Any],
    handler: Callable[..., Any],
    inputs: Any,
    outputs: Any,
    **options: Any,
) -> Any:
    """Run a handler at every trigger and once after each opening of the tab; takes the options of
    ``gr.on``.

    Returns the event that the triggers cause.
    """
    name = options.pop("api_name")
    opened.then(
        handler,
        inputs,
        outputs,
        api_name=f"{name}_when_opened",
        api_visibility="private",
        **options,
    )
    return gr.on(list(triggers), handler, inputs, outputs, api_name=name, **options)


def static_files(folder: Path, name: str, *events: str) -> dict[str, str]:
    """Return the arguments of ``gr.HTML`` for the component ``name`` in ``folder``, which triggers
    ``events`` of our own.
    """
    return {
        "html_template": (folder / f"{name}.html").read_text(encoding="utf-8"),
        "css_template": (folder / f"{name}.css").read_text(encoding="utf-8"),
        "js_on_load": load_script(folder / f"{name}.js", events),
    }
