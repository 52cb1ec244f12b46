"""Rows without an answer: a model drafts them, and they are marked till somebody has looked."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from core.datasets.dataset import load_dataset
from core.errors import DataError, UserError
from core.generation.drafts import Drafting, draft_answers, find_open_rows, find_respond
from core.generation.sampling import Sampling
from ui.gradio_events import QUIET
from ui.markup import alert, paragraph
from ui.services import Services, sentence
from ui.uploads import scratch_folder


@dataclass(frozen=True)
class DraftParts:
    """The components that answers are drafted by."""

    model: gr.Dropdown
    most: gr.Number
    draft: gr.Button
    stop: gr.Button
    told: gr.HTML


def lay_out_drafting() -> DraftParts:
    """Lay out the choice of a model and the two buttons."""
    with gr.Accordion("Draft answers for rows without one", open=False, elem_id="draft-box"):
        gr.Markdown(
            "A model answers the prompts that have no answer. The check names these rows till you "
            "have looked at each and saved it."
        )
        with gr.Row():
            model = gr.Dropdown(
                [], label="Model", info="A run, a base, or http://HOST:PORT/v1#MODEL",
                allow_custom_value=True, elem_id="draft-model", scale=3,
            )  # fmt: skip
            most = gr.Number(
                256, label="Longest answer", info="tokens", precision=0, min_width=130,
                elem_id="draft-most",
            )  # fmt: skip
        with gr.Row(elem_classes="fuata-line"):
            draft = gr.Button("Draft", variant="primary", scale=0, min_width=130, elem_id="draft")
            stop = gr.Button("Stop", scale=0, min_width=110, elem_id="stop-drafting")
        told = gr.HTML(elem_id="draft-told")
    return DraftParts(model, most, draft, stop, told)


def wire_drafting(
    parts: DraftParts, dataset: gr.Dropdown, waiting: gr.State, services: Services, opened: Any
) -> None:
    """Draft for the file that waits for it, or else for the chosen dataset."""

    def draft(
        key: str | None, waiting: str, model: str, most: float
    ) -> Iterator[tuple[Any, str, Any]]:
        try:
            if not key and not waiting:
                raise DataError("Choose a dataset, or drop a file with prompts first.")
            if not model:
                raise DataError("Choose the model that is to draft.")
            yield paragraph("Loading the model …"), gr.skip(), gr.skip()
            drafting, name = _open_rows(key, waiting, services)
            respond = find_respond(model, services.model_cache)
            sampling = Sampling(max_new_tokens=int(most or 0))
            with scratch_folder(services.workspace) as folder:
                path = folder / f"{Path(name).stem} drafted.jsonl"
                done = 0
                for done, total in draft_answers(drafting, respond, sampling, path):
                    yield paragraph(f"{done:,} of {total:,} drafted"), gr.skip(), gr.skip()
                made = services.datasets.keep(load_dataset(path), parent=key or "")
                if key:
                    shares = services.datasets.split_settings(key)
                    services.datasets.choose_split(made, shares)
            told = paragraph(f"{done:,} answers drafted. Look at them in the table, and save each.")
            yield told, gr.Dropdown(services.dataset_choices(), value=made), ""
        except UserError as error:
            yield alert(sentence(error)), gr.skip(), gr.skip()

    opened.then(
        lambda: gr.Dropdown(services.model_choices()), None, parts.model,
        api_visibility="private", **QUIET,
    )  # fmt: skip
    drafting = parts.draft.click(
        draft, [dataset, waiting, parts.model, parts.most], [parts.told, dataset, waiting],
        api_name="draft_answers", show_progress="hidden", concurrency_limit=1,
    )  # fmt: skip
    parts.stop.click(
        lambda: paragraph("Stopped; nothing was kept."), None, parts.told, cancels=[drafting],
        api_name="stop_drafting", **QUIET,
    )  # fmt: skip


def _open_rows(key: str | None, waiting: str, services: Services) -> tuple[Drafting, str]:
    """Return what is to be drafted, and what its file is called."""
    if waiting:
        return find_open_rows(Path(waiting)), Path(waiting).name
    loaded = services.datasets.load(key)
    return find_open_rows(loaded.path, loaded), loaded.name
