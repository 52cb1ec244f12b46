"""The Data screen: from a file to examples a user has looked at."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from cachetools import LRUCache

from core.datasets.check import CheckReport
from core.datasets.choices import LONG_ROWS
from core.datasets.conversation import Example
from core.datasets.dataset import Dataset
from core.datasets.row_map import MOST_ROWS
from core.datasets.splits import Splits, SplitSettings, split_examples
from core.errors import StoppedError, UserError
from core.models.encoder import encoder_of
from core.models.resolve import max_context
from core.prompts.encoded_dataset import report_on
from core.prompts.encoder import PromptEncoder
from core.prompts.preview import preview_row
from core.training.settings import SETTINGS
from ui.data.bring import BringParts, lay_out_mapping, lay_out_upload, wire_bringing
from ui.data.change import (
    ChangeHandlers,
    ChangeParts,
    lay_out_cleaning,
    lay_out_editing,
    wire_changing,
)
from ui.data.draft import lay_out_drafting, wire_drafting
from ui.data.own_style import lay_out_style, wire_style
from ui.data.statistics import map_figure, statistics_figures
from ui.data.views import (
    PAGE_ROWS,
    TOKEN_LEGEND,
    report_markup,
    splits_sentence,
    table_rows,
    tokens_markup,
)
from ui.error_messages import answers_errors, shows_user_errors, text
from ui.gradio_events import FOLLOWING, OPEN, QUIET, follow, static_files, when_opened
from ui.markup import fill_template, paragraph
from ui.progress.bar import lay_out_progress
from ui.scripts import load_script
from ui.services import STYLE_CHOICES, Services, sentence, style_title

_REPORTS = 8
_BRINGING = ("upload", "pasted", "paste", "hub", "fetch", "stop", "fetched", "problem")
_NEIGHBOURS = 3  # rows shown in one batch with the previewed one, so that padding is seen


@dataclass(frozen=True)
class _Parts:
    dataset: gr.Dropdown
    model: gr.Dropdown
    report: gr.HTML
    statistics: gr.HTML
    train: gr.Button
    row: gr.Number
    left: gr.Dropdown
    right: gr.Dropdown
    mask: gr.Checkbox
    cut: gr.Dropdown  # what is cut of rows too long
    left_tokens: gr.HTML
    right_tokens: gr.HTML
    shares: tuple[gr.Number, gr.Number, gr.Number]  # test, validation, seed
    split_words: gr.HTML
    search: gr.Textbox
    page: gr.Number
    found: gr.HTML
    table: gr.Dataframe


def build_data_tab(services: Services, tab: gr.Tab | None = None) -> None:
    """Lay the screen out and wire it; opening ``tab`` offers what was added elsewhere."""
    handlers = _Handlers(services)
    choice = _lay_out_choice(handlers)
    mapping, cleaning = lay_out_mapping(), lay_out_cleaning()
    rows = _lay_out_rows()
    editing, drafting = lay_out_editing(), lay_out_drafting()
    upload = {name: choice.pop(name) for name in _BRINGING}
    preview = _lay_out_preview()
    own_style = lay_out_style()
    parts = _Parts(**choice, **rows, **preview, **_lay_out_splits())
    opened = when_opened(tab, handlers.refresh, [parts.dataset, parts.model], "refresh_data")
    bringing = BringParts(**upload, **mapping)
    wire_bringing(bringing, parts.dataset, services, opened)
    wire_drafting(drafting, parts.dataset, bringing.waiting, services, opened)
    changing = ChangeParts(**cleaning, **editing)
    change = ChangeHandlers(services, handlers.report)
    wire_changing(changing, parts.dataset, parts.model, parts.row, change, opened)
    styles = (parts.left, parts.right)
    wire_style(own_style, (parts.dataset, parts.model, parts.row), styles, services)
    opened.then(handlers.offer_styles, None, [*styles], api_visibility="private", **QUIET)
    _wire_choice(parts, upload["problem"], handlers)
    _wire_report(parts, handlers, opened)
    _wire_splits(parts, handlers, opened)
    _wire_rows(parts, handlers, opened)


def _wire_choice(parts: _Parts, problem: gr.HTML, handlers: "_Handlers") -> None:
    touched = [handlers.touch, parts.dataset, problem]
    parts.dataset.input(*touched, api_name="touch_dataset", **QUIET)
    used = parts.train.click(*touched, api_name="train_on", **QUIET)
    used.then(None, js=OPEN.format("train"))
    # a row's number in the report shows it below
    jumped = [parts.row, parts.search, parts.page]
    for part, name in ((parts.report, "jump_to_row"), (parts.statistics, "jump_from_map")):
        part.jump(handlers.jump, parts.dataset, jumped, api_name=name, **QUIET)


def _wire_report(parts: _Parts, handlers: "_Handlers", opened: Any) -> None:
    """Report on a dataset under a model, and preview a row in two styles side by side."""
    chosen, changed = [parts.dataset, parts.model], [parts.dataset.change, parts.model.change]
    reported = {**FOLLOWING, "show_progress": "full", "api_name": "show_report"}
    shown = [parts.report, parts.train]
    follow(opened, changed, handlers.show_report, chosen, shown, **reported)
    again = {**QUIET, "show_progress": "full", "api_name": "check_again"}
    parts.report.again(handlers.check_again, chosen, shown, **again)
    counted = {**FOLLOWING, "api_name": "show_statistics"}
    triggers = [*changed, parts.split_words.change]
    follow(opened, triggers, handlers.show_statistics, chosen, parts.statistics, **counted)
    sides = {"left": (parts.left, parts.left_tokens), "right": (parts.right, parts.right_tokens)}
    for side, (style, target) in sides.items():
        inputs = [*chosen, parts.row, style, parts.mask, parts.cut]
        options = [parts.row, style, parts.mask, parts.cut]
        followed = [*changed, *[part.change for part in options]]
        named = {**FOLLOWING, "api_name": f"show_{side}"}
        follow(opened, followed, handlers.show_tokens, inputs, target, **named)


def _wire_splits(parts: _Parts, handlers: "_Handlers", opened: Any) -> None:
    split, shown = [*parts.shares, parts.split_words], {**FOLLOWING, "api_name": "show_split"}
    follow(opened, [parts.dataset.change], handlers.show_split, parts.dataset, split, **shown)
    typed, inputs = [share.input for share in parts.shares], [parts.dataset, *parts.shares]
    named = {**FOLLOWING, "api_name": "choose_split"}
    gr.on(typed, handlers.choose_split, inputs, parts.split_words, **named)


def _wire_rows(parts: _Parts, handlers: "_Handlers", opened: Any) -> None:
    inputs, shown = [parts.dataset, parts.search, parts.page], [parts.table, parts.found]
    changing = [parts.dataset, parts.search, parts.page, parts.split_words]
    followed, named = [part.change for part in changing], {**FOLLOWING, "api_name": "show_rows"}
    follow(opened, followed, handlers.show_rows, inputs, shown, **named)
    parts.table.select(handlers.pick, None, parts.row, api_name="pick_row", **QUIET)


@dataclass(slots=True)
class _Report:
    """A check report, or a place for it while somebody makes it."""

    report: CheckReport | None = None
    is_stopped: bool = False  # till somebody wants it after all
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Handlers:
    """What the screen's events do."""

    def __init__(self, services: Services) -> None:
        self.services = services
        # a dataset version under a model never reads otherwise
        self.reports: LRUCache[tuple[str, str], _Report] = LRUCache(_REPORTS)
        self.lock = threading.Lock()  # of the index alone: nobody waits for another file's report

    def jump(self, key: str | None, event: gr.EventData) -> tuple[int, str, int]:
        """Show a row that the report names: its preview, and the page of the table it is on."""
        row = int(event.row)
        examples = self._load(key or "").examples
        before = sum(example.row < row for example in examples)
        return row, "", before // PAGE_ROWS + 1

    def refresh(self) -> tuple[Any, Any]:
        choices = self.services.dataset_choices()
        return gr.Dropdown(choices, value=choices[0][1]), gr.Dropdown(self.services.model_choices())

    def offer_styles(self) -> tuple[Any, Any]:
        choices = self.services.style_choices()
        return gr.Dropdown(choices), gr.Dropdown(choices)

    def touch(self, key: str | None) -> str:
        if key:
            self.services.datasets.touch(key)
        return ""

    @shows_user_errors
    def show_report(self, key: str | None, model: str) -> tuple[str, Any]:
        if not key:
            return "", gr.Button(visible=False)
        try:
            return report_markup(self.report(key, model)), gr.Button(visible=True)
        except StoppedError as error:
            return fill_template("stopped_check", sentence=sentence(error)), gr.Button(
                visible=False
            )

    def check_again(self, key: str | None, model: str) -> tuple[str, Any]:
        """Make a report that was stopped after all."""
        with self.lock:
            self.reports.pop((key or "", model), None)
        return self.show_report(key, model)

    def show_statistics(self, key: str | None, model: str) -> str:
        """Return the figures; what is wrong with the choice, the report has told already."""
        if not key:
            return json.dumps({})
        try:
            examples, splits = self.splits(key)
            figures = statistics_figures(self.report(key, model), examples, splits)
        except UserError:
            return json.dumps({})
        return json.dumps({"dataset": key, **figures})

    def splits(self, key: str) -> tuple[Sequence[Example], Splits]:
        """Return a version's rows and how they are shared out."""
        examples = self._load(key).examples
        return examples, split_examples(examples, self.services.datasets.split_settings(key))

    def report(self, key: str, model: str) -> CheckReport:
        """Return the check report of a version under a model, made once for all who ask.

        Raises StoppedError where somebody stopped it.
        """
        with self.lock:
            kept = self.reports.setdefault((key, model), _Report())
        with kept.lock:
            if kept.is_stopped:
                raise StoppedError("The check was stopped")
            if kept.report is None:
                encoder, context = self._encoder(model, "")
                try:
                    kept.report = report_on(self._load(key), encoder, context)
                except StoppedError:
                    kept.is_stopped = True
                    raise
            return kept.report

    @shows_user_errors
    def show_tokens(
        self,
        key: str | None,
        model: str,
        number: float,
        style: str,
        masked: bool,  # noqa: FBT001 - Gradio hands a checkbox over by position
        cut: str,
    ) -> str:
        if not key:
            return ""
        encoder, context = self._encoder(model, style)
        loaded, row = self._load(key), int(number or 0)
        if refused := next((one for one in loaded.refused if one.row == row), None):
            return paragraph(f"Row {row} is refused: {refused.reason}.")
        example = loaded.example(row)
        preview = preview_row(
            example, encoder, context, mask_prompt=masked,
            long_rows=next((one for one in LONG_ROWS if one == cut), "end"),
            beside=_neighbours(loaded, example.row),
        )  # fmt: skip
        return tokens_markup(preview, style_title(style))

    @shows_user_errors
    def show_split(self, key: str | None) -> tuple[Any, ...]:
        if not key:
            return gr.skip(), gr.skip(), gr.skip(), ""
        settings = self.services.datasets.split_settings(key)
        words = splits_sentence(split_examples(self._load(key).examples, settings), settings.seed)
        return (
            round(settings.test_share * 100, 2),
            round(settings.validation_share * 100, 2),
            settings.seed,
            words,
        )

    @shows_user_errors
    def choose_split(
        self, key: str | None, test_percent: float, validation_percent: float, seed: float
    ) -> str:
        if not key:
            return ""
        settings = SplitSettings(
            (test_percent or 0) / 100, (validation_percent or 0) / 100, int(seed or 0)
        )
        words = splits_sentence(split_examples(self._load(key).examples, settings), settings.seed)
        self.services.datasets.choose_split(key, settings)
        return words

    @shows_user_errors
    def show_rows(
        self, key: str | None, wanted: str, page: float
    ) -> tuple[list[list[str | int]], str]:
        if not key:
            return [], ""
        examples, splits = self.splits(key)
        return table_rows(examples, splits, wanted, int(page or 1))

    def pick(self, event: gr.SelectData) -> int:
        return int(event.row_value[0])

    def _load(self, key: str) -> Dataset:
        return self.services.datasets.load(key)

    def _encoder(self, model: str, style: str) -> tuple[PromptEncoder, int]:
        """Return the encoder of a model under a style, and its context in tokens."""
        source = self.services.model_cache.find(model or "")
        return encoder_of(source, style), max_context(source.weights_folder)


def _lay_out_choice(handlers: _Handlers) -> dict[str, Any]:
    with gr.Row():
        with gr.Column(scale=2):
            dataset = gr.Dropdown(
                [],
                label="Dataset",
                info="A sample, or any file used here before",
                elem_id="dataset",
            )
            model = gr.Dropdown(
                value="pocket", label="Count tokens as", info="The model whose tokenizer is used",
                allow_custom_value=True, elem_id="data-model",
            )  # fmt: skip
        with gr.Column():
            upload = lay_out_upload()
    lay_out_progress("checking")
    problem = gr.HTML(elem_id="data-problem")
    report = gr.HTML(
        elem_id="check-report",
        js_on_load=load_script(Path(__file__).with_name("report.js"), ["jump", "again"]),
    )
    with gr.Accordion("Statistics", open=False, elem_id="statistics-box"):
        statistics = gr.HTML(
            json.dumps({}),
            **static_files(Path(__file__).parent, "statistics", "jump"),
            server_functions=[_map_function(handlers)],
            apply_default_css=False,
            elem_id="statistics",
        )
    train = gr.Button(
        "Train on this",
        variant="primary",
        scale=0,
        min_width=150,
        visible=False,
        elem_id="train-on-this",
    )
    return {
        "dataset": dataset,
        "model": model,
        **upload,
        "problem": problem,
        "report": report,
        "statistics": statistics,
        "train": train,
    }


def _lay_out_preview() -> dict[str, Any]:
    gr.Markdown("### Prompt preview")
    with gr.Row():
        row = gr.Number(1, label="Row", precision=0, elem_id="preview-row")
        left = gr.Dropdown(
            STYLE_CHOICES,
            value="alpaca",
            label="Style",
            allow_custom_value=True,
            elem_id="style-left",
        )
        right = gr.Dropdown(
            STYLE_CHOICES,
            value="phi3",
            label="Beside it",
            allow_custom_value=True,
            elem_id="style-right",
        )
        mask = gr.Checkbox(
            value=True,
            label="Mask the prompt",
            info="Off: the loss sees everything",
            interactive=True,
        )
        setting = SETTINGS["long_rows"]
        cut = gr.Dropdown(
            list(zip(setting.titles, setting.choices, strict=True)), value="end",
            label=setting.label, elem_id="preview-cut",
        )  # fmt: skip
    gr.HTML(TOKEN_LEGEND)
    with gr.Row(equal_height=False):
        tokens = {
            "left_tokens": gr.HTML(elem_id="tokens-left", min_width=300),
            "right_tokens": gr.HTML(elem_id="tokens-right", min_width=300),
        }
    return {"row": row, "left": left, "right": right, "mask": mask, "cut": cut, **tokens}


def _lay_out_splits() -> dict[str, Any]:
    gr.Markdown("### Splits")
    with gr.Row():
        test = gr.Number(10, label="Test %", elem_id="test-share")
        validation = gr.Number(5, label="Validation %", elem_id="validation-share")
        seed = gr.Number(42, label="Split seed", precision=0, elem_id="split-seed")
    return {"shares": (test, validation, seed), "split_words": gr.HTML(elem_id="splits")}


def _lay_out_rows() -> dict[str, Any]:
    gr.Markdown("### Rows")
    with gr.Row():
        search = gr.Textbox(
            "", label="Find in rows", placeholder="any text", elem_id="search", scale=3
        )
        page = gr.Number(1, label="Page", precision=0, elem_id="page", scale=1)
    found = gr.HTML(elem_id="found")
    table = gr.Dataframe(
        headers=["row", "split", "prompt", "answer"],
        datatype=["number", "str", "str", "str"],
        interactive=False,
        wrap=True,
        max_height=460,
        column_widths=["70px", "100px", "570px", "430px"],
        max_chars=240,
        label="Rows of the dataset",
        show_label=False,
        elem_id="rows",
        buttons=["copy"],
    )
    return {"search": search, "page": page, "found": found, "table": table}


def _map_function(handlers: _Handlers) -> Callable[..., Any]:
    @answers_errors
    def map_rows(question: dict[str, Any]) -> dict[str, Any]:
        examples, splits = handlers.splits(text(question, "dataset"))
        figure = map_figure(examples, splits, text(question, "by"))
        more = len(examples) > MOST_ROWS
        note = (
            f"{MOST_ROWS:,} or fewer of {len(examples):,} rows, spread over the file"
            if more
            else ""
        )
        return {"figure": figure, "note": note}

    return map_rows


def _neighbours(dataset: Dataset, row: int) -> list[Example]:
    return [example for example in dataset.examples if example.row > row][:_NEIGHBOURS]
