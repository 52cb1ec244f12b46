"""A benchmark of one's own rows: made, kept, deleted. Part of the Benchmarks screen."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import SettingsError
from core.evaluation.choices import CHECK_TITLES
from core.evaluation.own_benchmarks import PREFIX, OwnBenchmark
from ui.benchmarks.suites_menu import suite_choices
from ui.error_messages import shows_user_errors
from ui.gradio_events import QUIET
from ui.markup import paragraph
from ui.services import Choice, Services

_SPLITS: list[Choice] = [
    ("test rows", "test"), ("validation rows", "validation"), ("all rows", ""),
]  # fmt: skip
_CODE = "def check(prompt, expected, answer):\n    return answer.strip() == expected.strip()\n"


@dataclass(frozen=True)
class OwnForm:
    """The fields of a benchmark."""

    name: gr.Textbox
    dataset: gr.Dropdown
    split: gr.Dropdown
    check: gr.Dropdown
    pattern: gr.Textbox
    code: gr.Code
    longest: gr.Number
    after_runs: gr.Checkbox
    save: gr.Button
    delete: gr.Button
    told: gr.HTML

    @property
    def fields(self) -> list[Any]:
        """Everything that makes a benchmark, in the order handlers take it."""
        return [
            self.name, self.dataset, self.split, self.check, self.pattern, self.code, self.longest,
            self.after_runs,
        ]  # fmt: skip


def lay_out_own(services: Services) -> OwnForm:
    """Lay the form out."""
    with gr.Accordion("A benchmark of your own rows", open=False, elem_id="own-benchmark"):
        with gr.Row():
            dataset = gr.Dropdown(
                services.dataset_choices(), label="Dataset", interactive=True, elem_id="own-dataset"
            )
            split = gr.Dropdown(_SPLITS, value="test", label="Rows", elem_id="own-split")
            check = gr.Dropdown(
                [(title, name) for name, title in CHECK_TITLES.items()], value="exact",
                label="An answer is right if it", elem_id="own-check",
            )  # fmt: skip
        pattern = gr.Textbox(
            label="Regular expression", info="Empty: each row's expected answer is one.",
            visible=False, elem_id="own-pattern",
        )  # fmt: skip
        code = gr.Code(
            _CODE, language="python", label="Python, run in the sandbox", visible=False,
            elem_id="own-code",
        )  # fmt: skip
        with gr.Row():
            name = gr.Textbox(label="Name", placeholder="my-questions", elem_id="own-name")
            longest = gr.Number(
                128, precision=0, minimum=1, maximum=4096, label="Longest answer, tokens",
                elem_id="own-longest",
            )  # fmt: skip
            after_runs = gr.Checkbox(
                label="Ask it of every run that finishes", elem_id="own-after-runs"
            )
        with gr.Row():
            save = gr.Button("Keep this benchmark", elem_id="own-save")
            delete = gr.Button("Delete the one of this name", elem_id="own-delete")
        told = gr.HTML(elem_id="own-told")
    return OwnForm(
        name, dataset, split, check, pattern, code, longest, after_runs, save, delete, told
    )


def wire_own(form: OwnForm, services: Services, suites: gr.Dropdown) -> None:
    """Let the form keep and delete benchmarks, which ``suites`` then offers."""
    handlers = _Handlers(services)
    form.check.change(
        handlers.show_fields, form.check, [form.pattern, form.code], api_name="show_check", **QUIET
    )
    form.save.click(
        handlers.save, [suites, *form.fields], [form.told, suites], api_name="keep_benchmark",
        concurrency_limit=None,
    )  # fmt: skip
    form.delete.click(
        handlers.delete, [suites, form.name], [form.told, suites], api_name="delete_benchmark",
        **QUIET,
    )  # fmt: skip


class _Handlers:
    """What the form's events do."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def show_fields(self, check: str) -> Any:
        return gr.Textbox(visible=check == "regex"), gr.Code(visible=check == "python")

    @shows_user_errors
    def save(self, chosen: list[str] | None, *fields: Any) -> Any:
        benchmark = _read(*fields)
        own = self.services.own_benchmarks
        own.save(benchmark)
        rows = len(own.rows(benchmark, []))
        told = paragraph(f"Kept: {benchmark.name}, {rows:,} rows. It is chosen above.")
        return told, self._offered([*(chosen or []), f"{PREFIX}{benchmark.name}"])

    @shows_user_errors
    def delete(self, chosen: list[str] | None, name: str | None) -> Any:
        found = self.services.own_benchmarks.find((name or "").strip())
        self.services.own_benchmarks.delete(found.name)
        rest = [one for one in chosen or [] if one != f"{PREFIX}{found.name}"]
        return paragraph(f"Deleted: {found.name}. What was asked stays."), self._offered(rest)

    def _offered(self, chosen: list[str]) -> Any:
        names = list(dict.fromkeys(chosen))
        return gr.Dropdown(suite_choices(self.services), value=names, multiselect=True)


def _read(  # noqa: PLR0913 - the form's fields, as Gradio hands them over
    name: str | None,
    dataset: str | None,
    split: str,
    check: Any,
    pattern: str | None,
    code: str | None,
    longest: float | None,
    after_runs: bool,  # noqa: FBT001
) -> OwnBenchmark:
    """Return what a form asks for. Raises SettingsError naming all that is wrong."""
    wrong = {}
    if not (name or "").strip():
        wrong["name"] = "give the benchmark one"
    if not dataset:
        wrong["dataset"] = "choose one"
    if wrong:
        raise SettingsError(wrong)
    named = {"test": "test", "validation": "validation"}
    return OwnBenchmark(
        name=(name or "").strip(), content_hash=dataset or "",
        split=named.get(split),  # type: ignore[arg-type]
        check=check, pattern=pattern if check == "regex" and pattern else "",
        code=code or "" if check == "python" else "",
        max_new_tokens=int(longest or 128), after_runs=bool(after_runs),
    )  # fmt: skip
