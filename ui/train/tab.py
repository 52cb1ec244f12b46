"""The Train screen: a form that works as it stands, a card that says what Start will do, and the
monitor.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from core.datasets.dataset import Dataset
from core.datasets.samples import samples_by_hash
from core.datasets.store import VERSION_WORD
from core.errors import SettingsError, UserError, WorkspaceError
from core.hub.model_files import find_hub_model
from core.models.encoder import own_style
from core.models.resolve import NotFetchedError
from core.training.planning.plan import plan_run
from core.training.runs.runner import add_run
from core.training.settings import (
    METHODS,
    TrainingSettings,
    as_method,
    change_settings,
    default_settings,
    read_settings,
)
from ui.error_messages import shows_user_errors
from ui.gradio_events import FOLLOWING, QUIET, follow, static_files, when_opened
from ui.progress.bar import lay_out_progress
from ui.services import STYLE_CHOICES, Services, sentence
from ui.train.ready_card import command_line, not_ready_markup, ready_markup
from ui.train.run_panel import run_panel_functions
from ui.train.settings_form import Fields, lay_out_settings

# these depend on the model
_DEFAULTED = ("epochs", "learning_rate", "batch_size", "gradient_accumulation")
# In the page: a field that a user has changed since the defaults were asked for is theirs; what we
# filled in is not.
_FILL_IN = """(arrived, ...now) => {
  const { before, after } = JSON.parse(arrived), filled = globalThis.fuataFilledIn ?? [];
  globalThis.fuataFilledIn = after;
  return now.map((value, at) => (value === before[at] || value === filled[at] ? after[at] : value));
}"""


@dataclass(frozen=True)
class _Parts:
    dataset: gr.Dropdown
    model: gr.Dropdown
    style: gr.Dropdown
    method: gr.Radio
    fields: Fields  # one component per remaining setting
    name: gr.Textbox
    arrived: gr.HTML  # a model's defaults, on their way into the fields
    ready: gr.HTML
    fetch: gr.Button
    start: gr.Button
    monitor: gr.HTML

    @property
    def settings(self) -> list[gr.components.Component]:
        """Everything that decides the settings, in the order handlers take it."""
        return [self.model, self.style, self.method, *self.fields.values()]


def build_train_tab(services: Services, tab: gr.Tab | None = None) -> None:
    """Lay the screen out and wire it; opening ``tab`` offers what was added elsewhere."""
    parts = _lay_out(services)
    handlers = _Handlers(services, list(parts.fields))
    opened = when_opened(tab, handlers.refresh, [parts.dataset, parts.model], "refresh_train")
    opened.then(handlers.offer_styles, None, parts.style, api_visibility="private", **QUIET)
    parts.dataset.input(
        handlers.touch, parts.dataset, None, api_name="touch_train_dataset", **QUIET
    )
    inputs = [parts.dataset, *parts.settings]
    changed = [component.change for component in inputs]
    follow(
        opened,
        changed,
        handlers.show_ready,
        inputs,
        [parts.ready, parts.start, parts.fetch],
        api_name="show_ready",
        **FOLLOWING,
    )
    _wire_fetching(parts, handlers)
    # a user's choices bring their defaults; what the page itself fills in, as a run's settings,
    # stays as it is
    chosen = parts.model.input(
        handlers.show_method,
        parts.model,
        [parts.method, parts.style],
        api_name="show_method",
        **FOLLOWING,
    )
    defaulted = [parts.fields[field] for field in _DEFAULTED]
    inputs = [parts.model, parts.method, *defaulted]
    follow(
        chosen,
        [parts.method.input],
        handlers.show_defaults,
        inputs,
        parts.arrived,
        api_name="show_defaults",
        **FOLLOWING,
    )
    parts.arrived.change(
        None, [parts.arrived, *defaulted], defaulted, js=_FILL_IN, api_name="fill_in", **QUIET
    )
    inputs = [parts.dataset, parts.name, *parts.settings]
    parts.start.click(
        handlers.begin,
        inputs,
        [parts.monitor, parts.name],
        api_name="begin",
        concurrency_limit=None,
    )
    # an event of our own, that run_panel.js triggers
    parts.monitor.reuse(
        handlers.reuse, parts.monitor, [parts.dataset, *parts.settings], api_name="reuse", **QUIET
    )


def _wire_fetching(parts: _Parts, handlers: "_Handlers") -> None:
    fetched = parts.fetch.click(
        handlers.fetch, parts.model, None, api_name="fetch_model", concurrency_limit=None
    )
    fetched.then(
        handlers.show_method, parts.model, [parts.method, parts.style],
        api_visibility="private", **QUIET,
    ).then(
        handlers.show_ready, [parts.dataset, *parts.settings], [parts.ready, parts.start, parts.fetch],
        api_visibility="private", **QUIET,
    )  # fmt: skip


class _Handlers:
    """What the screen's events do."""

    def __init__(self, services: Services, fields: list[str]) -> None:
        self.services = services
        self.fields = fields

    def show_ready(self, key: str, *values: Any) -> tuple[str, Any, Any]:
        """Return the card, Start as it can be pressed then, and a button to fetch a model that is
        on the hub and not here.
        """
        card, is_ready, may_fetch = self._ready(key, values)
        return card, gr.Button(interactive=is_ready), gr.Button(visible=may_fetch)

    def _ready(self, key: str, values: Sequence[Any]) -> tuple[str, bool, bool]:
        try:
            loaded = self.services.datasets.load(key)
            plan = plan_run(loaded, self._settings(key, values), self.services.workspace)
        except SettingsError as error:
            reasons = [
                f"{field.replace('_', ' ')}: {reason}" for field, reason in error.fields.items()
            ]
            return not_ready_markup(reasons), False, False
        except UserError as error:
            return not_ready_markup([sentence(error)]), False, isinstance(error, NotFetchedError)
        speed = self.services.runs.last_speed(plan.settings, loaded.content_hash)
        command = command_line(
            plan.settings, self._command_source(loaded), self.services.workspace.folder
        )
        return ready_markup(plan, command, speed), True, False

    @shows_user_errors
    def fetch(self, model: str) -> None:
        """Fetch a model of the hub, and wait for it; whoever leaves meanwhile stops nothing."""
        found = find_hub_model(model)
        self.services.fetches.start(found)
        self.services.fetches.wait(found.name)

    def show_defaults(self, model: str, method: str, *before: Any) -> str:
        """Return a model's defaults, and what stood in the fields when they were asked for."""
        defaults = default_settings(model or "", as_method(method))
        after = [getattr(defaults, field) for field in _DEFAULTED]
        # a change, even where all is the same
        return json.dumps({"before": before, "after": after, "asked": time.monotonic_ns()})

    def show_method(self, model: str) -> tuple[str, Any]:
        """Return the method and the style that go with a model."""
        method = default_settings(model or "").method
        try:
            source = self.services.model_cache.find(model or "")
            return method, own_style(source)
        except UserError:  # half a name, or none that is known: the card says so
            return method, gr.skip()

    @shows_user_errors
    def begin(self, key: str, name: str, *values: Any) -> tuple[str, str]:
        dataset, settings = self.services.datasets.load(key), self._settings(key, values)
        if not (name or "").strip() and (
            twin := self.services.runs.waiting_like(settings, dataset.content_hash)
        ):
            raise WorkspaceError(
                f"The run '{twin}' with these very settings is not done yet: change one, or give "
                "this one a name."
            )
        run = add_run(self.services.workspace, dataset, settings, (name or "").strip())
        self.services.queue.submit(run)
        return json.dumps({"run": run}), ""

    @shows_user_errors
    def reuse(self, shown: str) -> list[Any]:
        """Fill the form with the settings of the run that the monitor shows, to be run again with
        one changed.
        """
        row = self.services.runs.find(str(json.loads(shown)["run"]))
        settings = asdict(read_settings(row["settings"]))
        self.services.datasets.touch(row["content_hash"])
        self.services.datasets.choose_split(
            row["content_hash"], read_settings(row["settings"]).splits
        )
        dataset = gr.Dropdown(self.services.dataset_choices(), value=row["content_hash"])
        return [dataset, *(settings[name] for name in ("model", "style", "method", *self.fields))]

    def touch(self, key: str) -> None:
        self.services.datasets.touch(key)

    def refresh(self) -> tuple[Any, Any]:
        choices = self.services.dataset_choices()
        return gr.Dropdown(choices, value=choices[0][1]), gr.Dropdown(self.services.model_choices())

    def offer_styles(self) -> Any:
        return gr.Dropdown(self.services.style_choices())

    def _command_source(self, dataset: Dataset) -> str:
        """Return the FILE that stands for a dataset on the command line."""
        if dataset.recipe != "{}":
            return f"{VERSION_WORD}{dataset.content_hash[:12]}"
        return samples_by_hash().get(dataset.content_hash, str(dataset.path))

    def _settings(self, key: str, values: Sequence[Any]) -> TrainingSettings:
        model, style, method, *rest = values
        if empty := [
            field for field, value in zip(self.fields, rest, strict=True) if value is None
        ]:
            raise SettingsError(dict.fromkeys(empty, "is empty: give a number"))
        splits = self.services.datasets.split_settings(key)
        shares = {
            "test_share": splits.test_share,
            "validation_share": splits.validation_share,
            "split_seed": splits.seed,
        }
        changes = dict(zip(self.fields, rest, strict=True)) | {"style": style} | shares
        return change_settings(default_settings(model or "", as_method(method)), changes)


def _lay_out(services: Services) -> _Parts:
    with gr.Row():
        dataset = gr.Dropdown(
            [], label="Dataset", info="Chosen under Data", elem_id="train-dataset"
        )
        model = gr.Dropdown(
            value="pocket", label="Base model", info="Bundled, a run, a folder, or a hub id",
            allow_custom_value=True, elem_id="base-model",
        )  # fmt: skip
        style = gr.Dropdown(
            STYLE_CHOICES,
            value="alpaca",
            label="Prompt style",
            info="Or the path of a .jinja file",
            allow_custom_value=True,
            elem_id="train-style",
        )
        info = "lora: adapters; qlora: base in 4 bits"
        method = gr.Radio(list(METHODS), value="full", label="Method", info=info, elem_id="method")
    fields, name = lay_out_settings(default_settings())
    ready = gr.HTML(elem_id="ready")
    fetch = gr.Button(
        "Fetch the model",
        variant="primary",
        visible=False,
        scale=0,
        min_width=180,
        elem_id="fetch-model",
    )
    lay_out_progress("fetching")
    start = gr.Button("Start training", variant="primary", scale=0, min_width=180, elem_id="start")
    monitor = gr.HTML(
        json.dumps({"run": None}),
        **static_files(Path(__file__).parent, "run_panel", "reuse"),
        server_functions=run_panel_functions(services),
        apply_default_css=False,
        elem_id="monitor",
    )
    # last: it takes no room
    arrived = gr.HTML("", html_template="<span hidden></span>", elem_id="defaults")
    return _Parts(
        dataset, model, style, method, fields, name, arrived, ready, fetch, start, monitor
    )
