"""The one page: its tabs in working order, its address bar, its look.

Knows no single screen's inside.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import plotly
from fastapi import FastAPI, Request
from fastapi.staticfiles import StaticFiles

from ui.arena.tab import build_arena_tab
from ui.benchmarks.tab import build_benchmarks_tab
from ui.chat.tab import build_chat_tab
from ui.data.tab import build_data_tab
from ui.gate import JUDGE_PATH, USER
from ui.markup import fill_template
from ui.results.tab import build_results_tab
from ui.review.tab import build_judging, build_review_tab
from ui.scripts import mount_scripts, script_address
from ui.services import Services
from ui.theme import build_theme
from ui.train.tab import build_train_tab

_STATIC = Path(__file__).with_name("static")
_PLOTLY = Path(plotly.__file__).parent / "package_data"
MAX_UPLOAD = "1gb"
# pages whose state is remembered: each costs a third of a mebibyte, and Gradio forgets none for an
# hour
_MOST_SESSIONS = 200
# how often files that Gradio made are looked at, and how old they may become
_TIDIED_S, _KEPT_S = (3600, 86_400)

_TABS: tuple[tuple[str, str, Callable[[Services, gr.Tab | None], None]], ...] = (
    ("data", "Data", build_data_tab),
    ("train", "Train", build_train_tab),
    ("chat", "Chat", build_chat_tab),
    ("review", "Review", build_review_tab),
    ("results", "Results", build_results_tab),
    ("benchmarks", "Benchmarks", build_benchmarks_tab),
    ("arena", "Arena", build_arena_tab),
)
_TAGLINE = (
    "Teach a model to follow instructions, here on this machine, and judge the result yourself."
)
_JUDGE_TAGLINE = "Judge responses side by side, without knowing whose they are."
# what these call stands in static/page.js
_READ_ADDRESS = "() => ({__type__: 'update', selected: window.fuataAskedTab()})"
_WRITE_ADDRESS = "() => window.fuataWriteTab('{}')"
_WATCH_ADDRESS = "window.fuataWatchAddress(() => trigger('navigate'));"


def build_page(services: Services) -> gr.Blocks:
    """Return the owner's page; nothing on it outlives a reload, everything shown comes from
    ``services``.
    """
    with _blank_page(services) as page:
        gr.HTML(fill_template("head", tagline=_TAGLINE, signed_in=False), apply_default_css=False)
        with gr.Tabs(elem_id="tabs") as tabs:
            for name, title, build in _TABS:
                with gr.Tab(title, id=name, elem_id=f"tab-{name}") as tab:
                    build(services, tab)
                tab.select(None, None, None, js=_WRITE_ADDRESS.format(name))
        address = gr.HTML("", html_template="<span hidden></span>", js_on_load=_WATCH_ADDRESS)
        address.navigate(None, None, tabs, js=_READ_ADDRESS)  # an event of our own
    return page


def build_judge_page(services: Services) -> gr.Blocks:
    """Return the page of a reviewer who signed in: judging, and what the owner shares of the
    results.
    """
    with _blank_page(services) as page:
        gr.HTML(
            fill_template("head", tagline=_JUDGE_TAGLINE, signed_in=True), apply_default_css=False
        )
        build_judging(services)
    return page


def mount_pages(app: FastAPI, services: Services, *, asks_who: bool = False) -> FastAPI:
    """Put the owner's page at the root of ``app`` and, where it ``asks_who`` comes, the reviewers'
    beside it.

    Plotly's own script and ours lie beside them, so that no other host is asked.
    """
    app.mount("/plotlyjs", StaticFiles(directory=_PLOTLY))
    mount_scripts(app)
    options: dict[str, Any] = {"auth_dependency": _signed_in} if asks_who else {}
    if asks_who:
        mount_scripts(app, JUDGE_PATH)
        _mount(app, build_judge_page(services), JUDGE_PATH, **options)
    _mount(
        app, build_page(services), "/", allowed_paths=[str(services.workspace.exports)], **options
    )
    return app


def page_head() -> str:
    """Return the scripts that every page begins with; Gradio would add them later, and without the
    policy's nonce.
    """
    return fill_template("scripts", page_script=script_address(_STATIC / "page.js"))


def _mount(app: FastAPI, page: gr.Blocks, path: str, **options: Any) -> None:
    gr.mount_gradio_app(
        app,
        page,
        path=path,
        theme=build_theme(),
        css_paths=sorted(_STATIC.glob("*.css")),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        max_file_size=MAX_UPLOAD,
        **options,
    )


def _blank_page(services: Services) -> gr.Blocks:
    """Return a page to build on, whose files lie in the workspace and whose requests may name only
    what was uploaded.
    """
    # read whenever a component is made
    os.environ["GRADIO_TEMP_DIR"] = str(services.workspace.uploads)
    page = gr.Blocks(title="Fuata", analytics_enabled=False, delete_cache=(_TIDIED_S, _KEPT_S))
    # Gradio looks where a named file lies only where it launched the page itself, which it does not
    # here
    page.has_launched = True
    page.state_session_capacity = _MOST_SESSIONS
    return page


def _signed_in(request: Request) -> str | None:
    name: str | None = request.scope.get(USER)
    return name
