"""A prompt style of one's own: written on the page, tried on the row that is shown, and kept."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import StyleError, UserError
from core.models.encoder import encoder_of
from core.prompts.preview import preview_row
from core.storage.atomic_write import write_file
from core.storage.workspace import check_name
from ui.error_messages import shows_user_errors
from ui.gradio_events import QUIET
from ui.markup import alert, paragraph
from ui.services import Services, sentence
from ui.uploads import scratch_folder

_MOST_CHARACTERS = 100_000


@dataclass(frozen=True)
class StyleParts:
    """The components that a style is written in."""

    template: gr.Textbox
    name: gr.Textbox
    begin: gr.Button
    save: gr.Button
    told: gr.HTML


def lay_out_style() -> StyleParts:
    """Lay out the editor."""
    with gr.Accordion("A style of your own", open=False, elem_id="own-style"):
        gr.Markdown(
            "A Jinja chat template, as transformers has them: `messages` with `role` and `content`, "
            "`add_generation_prompt`, `bos_token`, `eos_token`."
        )
        template = gr.Textbox(
            label="Template", lines=8, max_lines=24, elem_id="style-template",
            elem_classes="fuata-code",
        )  # fmt: skip
        with gr.Row(elem_classes="fuata-line"):
            name = gr.Textbox(label="Its name", placeholder="my-style", elem_id="style-name")
            begin = gr.Button("Begin with the left style", min_width=180, elem_id="begin-style")
            save = gr.Button(
                "Try and save it", variant="primary", min_width=150, elem_id="save-style"
            )
        told = gr.HTML(elem_id="style-told")
    return StyleParts(template, name, begin, save, told)


def wire_style(
    parts: StyleParts,
    chosen: tuple[gr.Dropdown, gr.Dropdown, gr.Number],
    styles: tuple[gr.Dropdown, gr.Dropdown],
    services: Services,
) -> None:
    """Try a style on the previewed row of the dataset, and offer it once it is saved.

    ``chosen`` are the dataset, the model and the row; ``styles`` those previewed, the left first.
    """
    handlers = _Handlers(services)
    _, model, _ = chosen
    left, _ = styles
    parts.begin.click(
        handlers.begin, [model, left], parts.template, api_name="begin_style", **QUIET
    )
    parts.save.click(
        handlers.save, [*chosen, parts.name, parts.template], [*styles, parts.told],
        api_name="save_style", **QUIET,
    )  # fmt: skip


class _Handlers:
    """What the events do."""

    def __init__(self, services: Services) -> None:
        self.services = services

    @shows_user_errors
    def begin(self, model: str, style: str) -> str:
        source = self.services.model_cache.find(model or "")
        return encoder_of(source, style).style.template

    def save(
        self, key: str | None, model: str, row: float, name: str, template: str
    ) -> tuple[Any, Any, str]:
        try:
            path = self._saved(key, model, int(row or 0), name or "", template or "")
        except UserError as error:
            return gr.skip(), gr.skip(), alert(sentence(error))
        choices = self.services.style_choices()
        told = paragraph(f"Saved. It is offered as '{name.strip()}' here, under Train and in Chat.")
        return gr.Dropdown(choices, value=path), gr.Dropdown(choices), told

    def _saved(self, key: str | None, model: str, row: int, name: str, template: str) -> str:
        """Try a template on a row, write it, and return its path. Raises UserError."""
        if not template.strip() or len(template) > _MOST_CHARACTERS:
            raise StyleError(f"A template has 1 to {_MOST_CHARACTERS:,} characters.")
        workspace = self.services.workspace
        path = workspace.styles / f"{check_name(name.strip())}.jinja"
        with scratch_folder(workspace) as folder:
            tried = folder / path.name
            write_file(tried, template.encode())
            try:
                encoder = encoder_of(self.services.model_cache.find(model or ""), str(tried))
                example = self.services.datasets.load(key).example(row)
                preview_row(example, encoder, 10**6)
            except StyleError as error:
                raise StyleError(str(error).replace(str(tried), name.strip())) from error
        write_file(path, template.encode())
        return str(path)
