"""The one page: its tabs in working order, its address bar, its look. Knows no single screen's inside."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import plotly
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from ui.chat.tab import build_chat_tab
from ui.data.tab import build_data_tab
from ui.results.tab import build_results_tab
from ui.review.tab import build_review_tab
from ui.services import Services
from ui.theme import build_theme
from ui.train.tab import build_train_tab

_STATIC = Path(__file__).with_name("static")
_PLOTLY = Path(plotly.__file__).parent / "package_data"
_PLOTLY_SCRIPT = '<script defer src="/plotlyjs/plotly.min.js"></script>'
MAX_UPLOAD = "1gb"

_TABS: tuple[tuple[str, str, Callable[[Services, gr.Tab | None], None]], ...] = (
    ("data", "Data", build_data_tab),
    ("train", "Train", build_train_tab),
    ("chat", "Chat", build_chat_tab),
    ("review", "Review", build_review_tab),
    ("results", "Results", build_results_tab),
)
_HEADER = (
    '<header class="fuata-head"><h1>Fuata</h1>'
    "<p>Teach a model to follow instructions, here on this machine, and judge the result yourself.</p></header>"
)
_READ_ADDRESS = (
    "() => ({__type__: 'update', selected: window.fuataTab || new URLSearchParams(location.search).get('tab') || 'data'})"
)
_WATCH_ADDRESS = """
addEventListener('popstate', () => trigger('navigate'));
let asked = 0;
function open() {  // an update that comes before the tabs are ready is lost
  const panel = document.getElementById(`tab-${window.fuataTab}`);
  if (!window.fuataTab || panel?.offsetParent || asked++ === 30) { window.fuataTab = ''; return; }
  trigger('navigate');
  setTimeout(open, 300);
}
open();
"""


def build_page(services: Services) -> gr.Blocks:
    """Return the page; nothing on it outlives a reload, everything shown comes from ``services``."""
    with gr.Blocks(title="Fuata", analytics_enabled=False) as page:
        gr.HTML(_HEADER, apply_default_css=False)
        with gr.Tabs(elem_id="tabs") as tabs:
            for name, title, build in _TABS:
                with gr.Tab(title, id=name, elem_id=f"tab-{name}") as tab:
                    build(services, tab)
                tab.select(None, None, None, js=_write_address(name))
        address = gr.HTML("", html_template="<span hidden></span>", js_on_load=_WATCH_ADDRESS)
        address.navigate(None, None, tabs, js=_READ_ADDRESS)  # an event of our own
    return page


def mount_page(app: FastAPI, services: Services, **options: Any) -> FastAPI:
    """Put the page at the root of ``app``, with Plotly's own script beside it so that no other host is asked."""
    app.mount("/plotlyjs", StaticFiles(directory=_PLOTLY))
    gr.mount_gradio_app(
        app,
        build_page(services),
        path="/",
        theme=build_theme(),
        css_paths=sorted(_STATIC.glob("*.css")),
        head=f"<script>{(_STATIC / 'page.js').read_text(encoding='utf-8')}</script>{_PLOTLY_SCRIPT}",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        max_file_size=MAX_UPLOAD,
        allowed_paths=[str(services.workspace.exports)],
        **options,
    )
    return app


def _write_address(name: str) -> str:
    """Return the script that puts a tab's name into the address bar, if that tab is the one shown a moment later.

    On a busy machine the first tab tells of itself after a person has chosen another.
    """
    return (
        f"() => {{setTimeout(() => {{const u = new URL(location); if (document.getElementById('tab-{name}')?.offsetParent && "
        f"(u.searchParams.get('tab') || 'data') !== '{name}') "
        f"{{u.searchParams.set('tab', '{name}'); history.pushState(null, '', u)}}}}, 60)}}"
    )
