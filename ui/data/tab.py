"""The Data screen: from a file to examples a user has looked at."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.datasets.conversation import Example
from core.datasets.dataset import Dataset, load_dataset
from core.datasets.splits import SplitSettings, split_examples
from core.errors import UserError
from core.models.encoder import encoder_of
from core.models.resolve import max_context
from core.prompts.encoded_dataset import report_on
from core.prompts.encoder import PromptEncoder
from core.prompts.preview import preview_row
from ui.data.views import TOKEN_LEGEND, report_markup, splits_sentence, table_rows, tokens_markup
from ui.error_messages import shows_user_errors
from ui.gradio_events import FOLLOWING, OPEN, QUIET, follow, when_opened
from ui.markup import alert
from ui.services import STYLE_CHOICES, Services, sentence, style_title
from ui.uploads import taken

_NEIGHBOURS = 3  # rows shown in one batch with the previewed one, so that padding is seen


@dataclass(frozen=True)
class _Parts:
    dataset: gr.Dropdown
    model: gr.Dropdown
    upload: gr.File
    problem: gr.HTML
    report: gr.HTML
    train: gr.Button
    row: gr.Number
    left: gr.Dropdown
    right: gr.Dropdown
    mask: gr.Checkbox
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
    parts = _Parts(
        **_lay_out_choice(), **_lay_out_preview(), **_lay_out_splits(), **_lay_out_rows()
    )
    handlers = _Handlers(services)
    chosen = [parts.dataset, parts.model]
    opened = when_opened(tab, handlers.refresh, chosen, "refresh_data")
    _wire_choice(parts, handlers)
    _wire_report(parts, handlers, opened)
    _wire_splits(parts, handlers, opened)
    _wire_rows(parts, handlers, opened)


def _wire_choice(parts: _Parts, handlers: "_Handlers") -> None:
    uploaded = [parts.dataset, parts.problem, parts.upload]
    touched = [handlers.touch, parts.dataset, parts.problem]
    parts.upload.upload(
        handlers.take_upload, parts.upload, uploaded, api_name="take_upload", concurrency_limit=None
    )
    parts.dataset.input(*touched, api_name="touch_dataset", **QUIET)
    used = parts.train.click(*touched, api_name="train_on", **QUIET)
    used.then(None, js=OPEN.format("train"))


def _wire_report(parts: _Parts, handlers: "_Handlers", opened: Any) -> None:
    """Report on a dataset under a model, and preview a row in two styles side by side."""
    chosen, changed = [parts.dataset, parts.model], [parts.dataset.change, parts.model.change]
    reported = {**FOLLOWING, "show_progress": "full", "api_name": "show_report"}
    shown = [parts.report, parts.train]
    follow(opened, changed, handlers.show_report, chosen, shown, **reported)
    sides = {"left": (parts.left, parts.left_tokens), "right": (parts.right, parts.right_tokens)}
    for side, (style, target) in sides.items():
        inputs = [*chosen, parts.row, style, parts.mask]
        followed = [*changed, parts.row.change, style.change, parts.mask.change]
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


class _Handlers:
    """What the screen's events do."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.reports: dict[
            tuple[str, str], str
        ] = {}  # a dataset version under a model never reads otherwise

    def take_upload(self, path: str | None) -> tuple[Any, str, None]:
        """Keep a file; of one that is refused nothing is shown but why, and nothing of the one
        before.
        """
        if path is None:
            return gr.skip(), "", None
        try:
            with taken(path, self.services.workspace) as file:
                key = self.services.datasets.keep(load_dataset(file))
        except UserError as error:
            return (
                gr.Dropdown(self.services.dataset_choices(), value=None),
                alert(sentence(error)),
                None,
            )
        return gr.Dropdown(self.services.dataset_choices(), value=key), "", None

    def refresh(self) -> tuple[Any, Any]:
        choices = self.services.dataset_choices()
        return gr.Dropdown(choices, value=choices[0][1]), gr.Dropdown(self.services.model_choices())

    def touch(self, key: str | None) -> str:
        if key:
            self.services.datasets.touch(key)
        return ""

    @shows_user_errors
    def show_report(self, key: str | None, model: str) -> tuple[str, Any]:
        if not key:
            return "", gr.Button(visible=False)
        if (key, model) not in self.reports:
            encoder, context = self._encoder(model, "")
            loaded = self._load(key)
            self.reports[key, model] = report_markup(report_on(loaded, encoder, context))
        return self.reports[key, model], gr.Button(visible=True)

    @shows_user_errors
    def show_tokens(
        self,
        key: str | None,
        model: str,
        number: float,
        style: str,
        masked: bool,  # noqa: FBT001 - Gradio hands a checkbox over by position
    ) -> str:
        if not key:
            return ""
        encoder, context = self._encoder(model, style)
        loaded = self._load(key)
        example = loaded.example(int(number or 0))
        preview = preview_row(
            example, encoder, context, mask_prompt=masked, beside=_neighbours(loaded, example.row)
        )
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
        examples = self._load(key).examples
        splits = split_examples(examples, self.services.datasets.split_settings(key))
        return table_rows(examples, splits, wanted, int(page or 1))

    def pick(self, event: gr.SelectData) -> int:
        return int(event.row_value[0])

    def _load(self, key: str) -> Dataset:
        return self.services.datasets.load(key)

    def _encoder(self, model: str, style: str) -> tuple[PromptEncoder, int]:
        """Return the encoder of a model under a style, and its context in tokens."""
        source = self.services.model_cache.find(model or "")
        return encoder_of(source, style), max_context(source.weights_folder)


def _lay_out_choice() -> dict[str, Any]:
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
        upload = gr.File(
            label="Or drop a file: JSON, JSONL, CSV, TSV, also .gz", height=150, elem_id="upload"
        )
    problem = gr.HTML(elem_id="data-problem")
    report = gr.HTML(elem_id="check-report")
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
        "upload": upload,
        "problem": problem,
        "report": report,
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
    gr.HTML(TOKEN_LEGEND)
    with gr.Row(equal_height=False):
        tokens = {
            "left_tokens": gr.HTML(elem_id="tokens-left", min_width=300),
            "right_tokens": gr.HTML(elem_id="tokens-right", min_width=300),
        }
    return {"row": row, "left": left, "right": right, "mask": mask, **tokens}


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


def _neighbours(dataset: Dataset, row: int) -> list[Example]:
    return [example for example in dataset.examples if example.row > row][:_NEIGHBOURS]
