"""The Benchmarks screen: models asked the field's public questions or one's own, what that will take,
and what came of it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from core.errors import SettingsError
from core.evaluation.choices import is_endpoint
from core.evaluation.layouts.folder import DataFolder
from core.evaluation.sandbox.run_code import protection, protection_text
from core.evaluation.settings import EvaluationSettings
from core.storage.atomic_write import write_file
from ui.benchmarks.board import EXPORTS, board_functions, export_content
from ui.benchmarks.own import lay_out_own, wire_own
from ui.benchmarks.plan_card import ask_plan, plan_markup
from ui.benchmarks.suites_menu import suite_choices, suites_in
from ui.benchmarks.views import evaluation_choice
from ui.error_messages import shows_user_errors
from ui.gradio_events import FOLLOWING, QUIET, follow, static_files, when_opened
from ui.markup import paragraph
from ui.services import Services
from ui.uploads import taken

_BUNDLED = "pocket_families"
_USUAL_LIMIT = 100


@dataclass(frozen=True)
class _Form:
    models: gr.Dropdown
    suites: gr.Dropdown
    tasks: gr.Textbox
    data: gr.Textbox
    limit: gr.Number
    few_shot: gr.Dropdown
    chat_template: gr.Checkbox
    as_turns: gr.Checkbox
    system: gr.Textbox
    apart: gr.Checkbox
    helm: gr.Checkbox
    judge: gr.Dropdown
    run_code: gr.Checkbox
    name: gr.Textbox

    @property
    def asked(self) -> list[Any]:
        """Everything that decides what is asked, in the order handlers take it."""
        return [
            self.models, self.suites, self.tasks, self.data, self.limit, self.few_shot,
            self.chat_template, self.as_turns, self.system, self.apart, self.helm, self.judge, self.run_code,
        ]  # fmt: skip


def build_benchmarks_tab(services: Services, tab: gr.Tab | None = None) -> None:
    """Lay the screen out and wire it; opening ``tab`` offers models made since."""
    handlers = _Handlers(services)
    form = _lay_out_form(services)
    own = lay_out_own(services)
    with gr.Row():
        plan = gr.Button("Check first", elem_id="plan-evaluation")
        start = gr.Button("Start", variant="primary", elem_id="start-evaluation")
    card = gr.HTML(elem_id="evaluation-card")
    with gr.Row():
        chosen = gr.Dropdown(
            [], label="Evaluation", interactive=True, elem_id="evaluation", scale=2
        )
        baseline = gr.Dropdown(
            [], label="Compared with", interactive=True, elem_id="evaluation-baseline"
        )
    board = gr.HTML(
        json.dumps({}),
        **static_files(Path(__file__).parent, "board", "completed"),
        server_functions=board_functions(services),
        apply_default_css=False,
        elem_id="evaluation-board",
    )
    export, form_of, brought, told, file = _lay_out_files()
    opened = when_opened(
        tab,
        handlers.refresh,
        [form.models, chosen, baseline],
        "refresh_benchmarks",
        [form.models, chosen],
    )
    follow(
        opened, [chosen.change, baseline.input], handlers.show, [chosen, baseline],
        [board, baseline], api_name="show_evaluation", **FOLLOWING,
    )  # fmt: skip
    wire_own(own, services, form.suites)
    opened.then(
        handlers.offer_data, None, [own.dataset, form.suites, form.judge],
        api_visibility="private", **QUIET,
    )  # fmt: skip
    plan.click(handlers.plan, form.asked, card, api_name="plan_evaluation", concurrency_limit=None)
    begun = start.click(
        handlers.start, [form.name, *form.asked], [chosen, form.name, card],
        api_name="start_evaluation", concurrency_limit=None,
    )  # fmt: skip
    begun.then(
        handlers.show, [chosen, baseline], [board, baseline], api_visibility="private", **FOLLOWING
    )
    # an event of our own, that board.js triggers
    board.completed(handlers.offer, chosen, chosen, api_name="offer_evaluations", **QUIET)
    form.data.change(
        handlers.look, form.data, form.suites, api_name="look_into_folder", **FOLLOWING
    )
    export.click(handlers.write, [chosen, form_of], file, api_name="export_evaluation", **QUIET)
    brought.upload(
        handlers.bring, brought, [chosen, told], api_name="import_results", concurrency_limit=None
    )


def _lay_out_form(services: Services) -> _Form:
    gr.HTML(
        paragraph(
            "Did tuning make it better, and what did it cost elsewhere? The same questions are asked "
            "of every model, in lm-eval's words, and differences are counted question by question."
        ),
        apply_default_css=False,
    )
    with gr.Row():
        models = gr.Dropdown(
            services.model_choices(), multiselect=True, label="Models", allow_custom_value=True,
            info="The first is what others are compared with. http://HOST:PORT/v1#MODEL will do, too.",
            elem_id="evaluation-models",
        )  # fmt: skip
        suites = gr.Dropdown(
            suite_choices(services), value=[_BUNDLED], multiselect=True, label="Benchmarks",
            info="pocket's families comes with Fuata; others read a folder.",
            elem_id="evaluation-suites",
        )  # fmt: skip
    with gr.Row():
        data = gr.Textbox(
            label="Folder with the benchmarks' data", placeholder="/path/to/folder",
            info="As their authors publish them, or as they lie on the hub.",
            elem_id="evaluation-data",
        )  # fmt: skip
        limit = gr.Number(
            _USUAL_LIMIT, precision=0, minimum=0, label="Questions of each task",
            info="The first so many; 0 for all.", elem_id="evaluation-limit",
        )  # fmt: skip
    with gr.Accordion("Advanced", open=False, elem_id="evaluation-advanced"):
        advanced = _lay_out_advanced(services)
    return _Form(models=models, suites=suites, data=data, limit=limit, **advanced)


def _lay_out_advanced(services: Services) -> dict[str, Any]:
    """Lay out what most evaluations leave as it is, and return it by the form's names."""
    found: dict[str, Any] = {
        "tasks": gr.Textbox(
            label="More tasks, by lm-eval's names", placeholder="mmlu_anatomy, boolq",
            elem_id="evaluation-tasks",
        )
    }  # fmt: skip
    with gr.Row():
        found["few_shot"] = gr.Dropdown(
            [("as many as the task shows", ""), ("none", "0"), "1", "2", "3", "5", "10", "25"],
            value="", label="Examples before each question", elem_id="evaluation-few-shot",
        )  # fmt: skip
        found["name"] = gr.Textbox(
            label="Name", placeholder="evaluation-1", elem_id="evaluation-name"
        )
    with gr.Row():
        found["chat_template"] = gr.Checkbox(
            label="Ask in each model's chat template",
            info="A tuned model is asked as it was tuned. Published scores are mostly of plain text.",
            elem_id="evaluation-chat",
        )  # fmt: skip
        found["as_turns"] = gr.Checkbox(
            label="Examples as turns of the conversation", elem_id="evaluation-turns"
        )
    found["system"] = gr.Textbox(
        label="System prompt", lines=2,
        info="A base model with a better prompt may do as well as a tuned one.",
        elem_id="evaluation-system",
    )  # fmt: skip
    found["apart"] = gr.Checkbox(
        label="Ask the first model without it, and once more with it",
        info="Did tuning beat a better prompt?", elem_id="evaluation-apart",
    )  # fmt: skip
    with gr.Row():
        found["helm"] = gr.Checkbox(
            label="Also HELM's views",
            info="Each question eight times: as it is, with typing errors, in dialect, with other names …",
            elem_id="evaluation-helm",
        )  # fmt: skip
        found["run_code"] = gr.Checkbox(
            label="Run programs that models write (HumanEval)",
            info=protection_text(protection()), elem_id="evaluation-code",
        )  # fmt: skip
    found["judge"] = gr.Dropdown(
        [("none", ""), *services.model_choices()], value="", label="Model that grades",
        info="For OpenAI Evals that are graded by one.", elem_id="evaluation-judge",
    )  # fmt: skip
    return found


def _lay_out_files() -> tuple[gr.Button, gr.Dropdown, gr.UploadButton, gr.HTML, gr.File]:
    with gr.Row():
        form_of = gr.Dropdown(
            [(one.title, name) for name, one in EXPORTS.items()], value="lm-eval",
            label="Export as", interactive=True, elem_id="evaluation-format",
        )  # fmt: skip
        export = gr.Button("Export", scale=0, min_width=130, elem_id="export-evaluation")
        brought = gr.UploadButton(
            "Import lm-eval results", file_types=[".json"], scale=0, min_width=200,
            elem_id="import-results",
        )  # fmt: skip
    told = gr.HTML(elem_id="results-imported")
    file = gr.File(
        label="Exported file", interactive=False, visible=False, elem_id="evaluation-file"
    )
    return export, form_of, brought, told, file


class _Handlers:
    """What the screen's events do."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def refresh(self, models: list[str] | None, chosen: str | None) -> Any:
        """Offer what is there now; without a choice, the newest run beside its base."""
        known = self.services.model_choices()
        names = [name for _, name in known]
        kept = [name for name in models or [] if name in names or is_endpoint(name)]
        if not kept:
            newest = self.services.newest_model()
            kept = [names[0], newest] if newest else names[:1]
        return gr.Dropdown(known, value=kept, multiselect=True), self.offer(chosen), gr.Dropdown()

    def offer_data(self) -> Any:
        """Offer the datasets, benchmarks and models that there are now."""
        return (
            gr.Dropdown(self.services.dataset_choices()),
            gr.Dropdown(suite_choices(self.services)),
            gr.Dropdown([("none", ""), *self.services.model_choices()]),
        )

    def offer(self, chosen: str | None) -> Any:
        """Offer the evaluations, the one that is chosen or the latest."""
        rows = self.services.evaluations.all()
        names = [row["name"] for row in rows]
        value = chosen if chosen in names else next(iter(names), None)
        return gr.Dropdown([evaluation_choice(row) for row in rows], value=value)

    @shows_user_errors
    def show(self, name: str | None, baseline: str | None) -> Any:
        if not name:
            return json.dumps({}), gr.Dropdown([], value=None)
        models = json.loads(self.services.evaluations.find(name)["models"])
        base = baseline if baseline in models else models[0]
        return json.dumps({"name": name, "baseline": base}), gr.Dropdown(models, value=base)

    @shows_user_errors
    def plan(self, *asked: Any) -> Any:
        models, tasks, settings = _read(*asked)
        return plan_markup(ask_plan(self.services.workspace, models, tasks, settings))

    @shows_user_errors
    def start(self, name: str | None, *asked: Any) -> Any:
        models, tasks, settings = _read(*asked)
        made = self.services.evaluations.create((name or "").strip(), models, tasks, settings)
        self.services.evaluation_jobs.submit(made)
        return self.offer(made), "", ""

    @shows_user_errors
    def look(self, folder: str | None) -> Any:
        """Say which suites' data a folder holds."""
        return gr.Dropdown(suite_choices(self.services, suites_in(folder or "")))

    @shows_user_errors
    def write(self, name: str | None, wanted: str) -> Any:
        if not name:
            raise SettingsError({"evaluation": "choose one first"})
        target = self.services.workspace.exports / f"{name}{EXPORTS[wanted].ending}"
        write_file(target, export_content(self.services.evaluations, name, wanted))
        return gr.File(str(target), visible=True)

    @shows_user_errors
    def bring(self, path: str) -> Any:
        from core.evaluation.exchange import import_results

        with taken(path, self.services.workspace) as file:
            made = import_results(self.services.evaluations, file)
        return self.offer(made), paragraph(f"Brought in as {made}.")


def _read(  # noqa: PLR0913 - the form's fields, as Gradio hands them over
    models: list[str] | None,
    suites: list[str] | None,
    tasks: str | None,
    data: str | None,
    limit: float | None,
    few_shot: str | None,
    chat_template: bool,  # noqa: FBT001
    as_turns: bool,  # noqa: FBT001
    system: str | None,
    apart: bool,  # noqa: FBT001
    helm: bool,  # noqa: FBT001
    judge: str | None,
    run_code: bool,  # noqa: FBT001
) -> tuple[list[str], list[str], EvaluationSettings]:
    """Return what a form asks for. Raises SettingsError naming all that is wrong."""
    names = [word.strip() for word in (tasks or "").split(",") if word.strip()]
    wanted = list(dict.fromkeys([*(suites or []), *names]))
    wrong = {}
    if not models:
        wrong["models"] = "choose one at least"
    if not wanted:
        wrong["benchmarks"] = "choose one at least"
    if wrong:
        raise SettingsError(wrong)
    folder = (data or "").strip()
    if folder:
        folder = str(DataFolder(Path(folder)).folder.resolve())
    return (
        list(models or []),
        wanted,
        EvaluationSettings(
            data=folder,
            limit=int(limit) if limit else None,
            few_shot=int(few_shot) if few_shot else None,
            chat_template=bool(chat_template),
            few_shot_as_turns=bool(as_turns and chat_template),
            system=(system or "").strip(),
            prompt_apart=bool(apart),
            helm=bool(helm),
            judge=judge or "",
            run_code=bool(run_code),
        ),
    )
