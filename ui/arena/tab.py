"""The Arena screen: one's own prompt to two hidden models, a verdict, then their names; and the
leaderboard.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from core.errors import ReviewError
from core.evaluation.choices import is_endpoint
from core.generation.openai_endpoint import find_endpoint
from core.storage.atomic_write import write_file
from review.arena.exchange import export_battles, import_battles
from review.arena.leaderboard import leaderboard
from ui.arena.api import arena_functions
from ui.error_messages import shows_user_errors
from ui.gradio_events import FOLLOWING, QUIET, follow, static_files, when_opened
from ui.markup import fill_template, paragraph
from ui.services import Services
from ui.uploads import taken


@dataclass(frozen=True)
class _Parts:
    models: gr.Dropdown
    temperature: gr.Number
    longest: gr.Number
    shared: gr.Checkbox
    battle: gr.HTML
    without_style: gr.Checkbox
    board: gr.HTML
    export: gr.Button
    brought: gr.UploadButton
    told: gr.HTML
    file: gr.File


def build_arena_tab(services: Services, tab: gr.Tab | None = None) -> None:
    """Lay the screen out and wire it; opening ``tab`` offers models made since."""
    handlers, parts = _Handlers(services), _lay_out(services)
    private: dict[str, Any] = {"api_visibility": "private"}
    opened = when_opened(
        tab,
        handlers.refresh,
        [parts.models, parts.temperature, parts.longest, parts.shared],
        "refresh_arena",
    )
    pool = [parts.models, parts.temperature, parts.longest, parts.shared]
    # a menu of several tells nothing of input
    gr.on(
        [parts.models.change, parts.temperature.input, parts.longest.input, parts.shared.input],
        handlers.choose, pool, None, api_name="choose_models", **FOLLOWING,
    )  # fmt: skip
    follow(
        opened, [parts.without_style.input], handlers.show, parts.without_style, parts.board,
        api_name="show_leaderboard", **FOLLOWING,
    )  # fmt: skip
    # an event of our own, that arena.js triggers
    parts.battle.voted(handlers.show, parts.without_style, parts.board, **private, **FOLLOWING)
    parts.export.click(handlers.write, None, parts.file, api_name="export_battles", **QUIET)
    brought = parts.brought.upload(
        handlers.bring, parts.brought, parts.told, api_name="import_battles",
        concurrency_limit=None,
    )  # fmt: skip
    brought.then(handlers.show, parts.without_style, parts.board, **private, **FOLLOWING)


def lay_out_battle(services: Services, *, is_shared: bool = False) -> gr.HTML:
    """Lay out where battles are fought: on the owner's page by whoever is named there, on that of
    reviewers by whoever signed in, where the owner lets them.
    """
    return gr.HTML(
        json.dumps({"signed_in": is_shared}),
        **static_files(Path(__file__).parent, "arena", "voted"),
        server_functions=arena_functions(services, is_shared=is_shared),
        apply_default_css=False,
        elem_id="arena-battle",
    )


def _lay_out(services: Services) -> _Parts:
    gr.HTML(
        paragraph(
            "Ask whatever you like: two models answer, and which is which is told only after your "
            "verdict. Each verdict counts for the table below."
        ),
        apply_default_css=False,
    )
    with gr.Row():
        models = gr.Dropdown(
            services.model_choices(), multiselect=True, label="Models that may meet",
            allow_custom_value=True, info="Two or more; http://HOST:PORT/v1#MODEL will do, too.",
            elem_id="arena-models", scale=2,
        )  # fmt: skip
        gr.Textbox(  # which arena.js reads
            label="Your name", info="so that your verdicts are yours", elem_id="arena-person"
        )
    with gr.Accordion("How they answer", open=False, elem_id="arena-settings"), gr.Row():
        temperature = gr.Number(0.7, label="Temperature", minimum=0, elem_id="arena-temperature")
        longest = gr.Number(
            256, precision=0, minimum=1, label="Longest answer, in tokens", elem_id="arena-longest"
        )
        shared = gr.Checkbox(
            label="Reviewers may battle", info="those who sign in, on their page",
            elem_id="arena-shared",
        )  # fmt: skip
    battle = lay_out_battle(services)
    without_style = gr.Checkbox(
        label="Leaderboard without what style explains",
        info="length, headings, lists and bold, as counted", elem_id="arena-style",
    )  # fmt: skip
    board = gr.HTML(elem_id="leaderboard")
    with gr.Row():
        export = gr.Button("Export battles", scale=0, min_width=160, elem_id="export-battles")
        brought = gr.UploadButton(
            "Import battles", file_types=[".json", ".jsonl", ".csv", ".gz"], scale=0,
            min_width=160, elem_id="import-battles",
        )  # fmt: skip
    told = gr.HTML(elem_id="battles-imported")
    file = gr.File(label="Exported file", interactive=False, visible=False, elem_id="battles-file")
    return _Parts(
        models, temperature, longest, shared, battle, without_style, board, export,
        brought, told, file,
    )  # fmt: skip


class _Handlers:
    """What the screen's events do."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.store = services.arena.store

    def refresh(self) -> Any:
        """Offer the models that there are, those that are chosen first."""
        settings = self.store.settings()
        known = self.services.model_choices()
        return (
            gr.Dropdown(
                known, value=list(settings.models), multiselect=True, allow_custom_value=True
            ),
            settings.sampling.temperature,
            settings.sampling.max_new_tokens,
            settings.shared,
        )

    @shows_user_errors
    def choose(
        self,
        models: list[str] | None,
        temperature: float | None,
        longest: float | None,
        shared: bool,  # noqa: FBT001
    ) -> None:
        """Keep what battles are drawn from. Raises ModelError for a name that is no model's."""
        for name in models or ():
            if is_endpoint(name):
                find_endpoint(name)
            else:
                self.services.model_cache.find(name)
        settings = self.store.settings()
        known = settings.sampling
        sampling = replace(
            known,
            temperature=known.temperature if temperature is None else float(temperature),
            max_new_tokens=int(longest) if longest else known.max_new_tokens,
        )
        self.store.set_settings(
            replace(settings, models=tuple(models or ()), sampling=sampling, shared=bool(shared))
        )

    @shows_user_errors
    def show(self, without_style: bool) -> str:  # noqa: FBT001
        """Show what the battles say."""
        found = leaderboard(self.store.judged(), without_style=bool(without_style))
        return fill_template("leaderboard", board=found)

    @shows_user_errors
    def write(self) -> Any:
        """Write the battles as FastChat does."""
        text = export_battles(self.store.judged())
        if not text:
            raise ReviewError("There is no battle with a verdict yet.")
        target = self.services.workspace.exports / "battles.jsonl"
        write_file(target, text.encode("utf-8", "surrogatepass"))
        return gr.File(str(target), visible=True)

    @shows_user_errors
    def bring(self, path: str) -> str:
        """Bring battles of a file in."""
        with taken(path, self.services.workspace) as file:
            added = import_battles(self.store, file)
        return paragraph(f"{added:,} battles were added.")
