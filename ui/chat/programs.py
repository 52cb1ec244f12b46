"""The switch of the address for programs: whether other tools are answered, and the key they need."""

import gradio as gr

from ui.gradio_events import QUIET, when_opened
from ui.markup import fill_template
from ui.services import Services

_SURE = "() => [confirm('The key before stops working. Make another?')]"


def build_programs(services: Services, tab: gr.Tab | None) -> None:
    """Lay the switch out and wire it; opening ``tab`` shows how it stands."""
    handlers = ProgramHandlers(services)
    with gr.Accordion("An address for other programs", open=False, elem_id="programs"):
        told = gr.HTML(elem_id="programs-told")
        with gr.Row(elem_classes="fuata-line"):
            switch = gr.Button("Switch it on", scale=0, min_width=130, elem_id="programs-switch")
            another = gr.Button(
                "Make another key", scale=0, min_width=160, visible=False, elem_id="programs-key"
            )
        sure = gr.Checkbox(False, visible=False)
    shown = [told, switch, another]
    when_opened(tab, handlers.show, shown, "show_programs")
    switch.click(handlers.switch, None, shown, api_name="switch_programs", **QUIET)
    another.click(handlers.make_key, sure, shown, js=_SURE, api_name="make_api_key", **QUIET)


class ProgramHandlers:
    """What the switch does."""

    def __init__(self, services: Services) -> None:
        """Work on what is open for all pages."""
        self.access = services.api

    def show(self, request: gr.Request, key: str = "") -> tuple[str, gr.Button, gr.Button]:
        """Say whether programs are answered and where; ``key`` is one just made."""
        access = self.access
        address = f"{str(request.request.base_url).rstrip('/')}/v1"
        told = fill_template("programs", is_open=access.is_open, address=address, key=key)
        switch = gr.Button("Switch it off" if access.is_open else "Switch it on")
        return told, switch, gr.Button(visible=access.is_open)

    def switch(self, request: gr.Request) -> tuple[str, gr.Button, gr.Button]:
        """Open the address or shut it; the first time a key is made and shown."""
        self.access.is_open = not self.access.is_open
        is_first = self.access.is_open and not self.access.key.exists
        return self.show(request, self.access.key.make() if is_first else "")

    def make_key(self, sure: object, request: gr.Request) -> tuple[str, gr.Button, gr.Button]:
        """Make another key and show it this once, where the person is ``sure``."""
        return self.show(request, self.access.key.make() if sure is True else "")
