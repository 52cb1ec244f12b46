"""The form of a new review: whose rows, which contenders, what reviewers judge by."""

from dataclasses import dataclass, fields, replace
from typing import Any, cast

import gradio as gr

from core.datasets.conversation import SplitName
from core.datasets.prompt_lists import load_prompt_list
from core.datasets.readers.read_file import FILE_ENDINGS
from core.generation.sampling import Sampling
from core.models.resolve import bundled_models
from core.storage.atomic_write import write_file
from review.domain.contender import EXPECTED
from review.domain.plan import DEFAULT_REPEATS, MOST_REPEATS
from review.domain.rating import ResponseMode
from review.domain.rubric import NO_RUBRIC, Rubric
from review.domain.states import ReviewState
from review.setup.contenders import FILE_PREFIX
from review.setup.generate_responses import RowChoice, add_contenders, create_review, plan_review
from review.setup.response_files import read_responses
from ui.error_messages import shows_user_errors
from ui.gradio_events import QUIET
from ui.review.views import making_markup
from ui.services import Choice, Services
from ui.uploads import taken

_SPLITS = [("Test rows", "test"), ("Validation rows", "validation"), ("All rows", "all")]
_MODES = [
    ("Pairs side by side", "pairs"),
    ("Single responses: pass or fail", "pass"),
    ("Single responses: 1 to 5 stars", "stars"),
]
_FILES = [*FILE_ENDINGS, ".gz"]


@dataclass(frozen=True)
class Asked:
    """What somebody wants a new review to be, in the order in which the components stand."""

    dataset: str
    split: str
    most: float | None
    name: str
    contenders: list[str] | None
    overlap: float | None
    rubric: str | None
    rubric_text: str | None
    repeats: float | None
    response_mode: ResponseMode
    max_new_tokens: float | None
    temperature: float | None
    seed: float | None

    def sampling(self) -> Sampling:
        """Return how models answer. Raises SettingsError."""
        return Sampling(
            temperature=float(self.temperature or 0),
            max_new_tokens=int(self.max_new_tokens or 0),
            seed=int(self.seed or 0),
        )

    def chosen_rubric(self) -> Rubric:
        """Return what reviewers judge by."""
        text = (self.rubric_text or "").strip()
        return Rubric((self.rubric or "Rubric").strip(), text) if text else NO_RUBRIC

    def rows(self) -> RowChoice:
        """Return which rows are asked."""
        split = None if self.split == "all" else cast("SplitName", self.split)
        return RowChoice(split, int(self.most or 0))


@dataclass(frozen=True)
class MakingParts:
    """The form's components; those that hold a field of ``Asked`` are named like it."""

    form: gr.Accordion
    dataset: gr.Dropdown
    split: gr.Dropdown
    most: gr.Number
    name: gr.Textbox
    contenders: gr.Dropdown
    prompts: gr.UploadButton
    responses: gr.UploadButton
    rubric: gr.Dropdown
    rubric_text: gr.Textbox
    overlap: gr.Number
    repeats: gr.Number
    response_mode: gr.Dropdown
    max_new_tokens: gr.Number
    temperature: gr.Number
    seed: gr.Number
    make: gr.Button
    add: gr.Button
    halt: gr.Button
    resume: gr.Button
    making: gr.HTML

    def asked(self) -> list[Any]:
        """Return the components that hold the fields of ``Asked``."""
        return [getattr(self, field.name) for field in fields(Asked)]


def build_making(services: Services, parts: MakingParts, review: gr.Dropdown) -> gr.State:
    """Wire the form; ``review`` is the chosen one.

    Returns the name of the review whose making this page shows.
    """
    handlers = _Handlers(services)
    watched = gr.State("")
    begun = [watched, parts.name, parts.making, parts.form]
    chosen = [review, parts.contenders]
    shown = [parts.making, review, watched]
    slow: dict[str, Any] = {"concurrency_limit": None}
    hidden: dict[str, Any] = {**QUIET, "api_visibility": "private"}
    parts.make.click(handlers.begin, parts.asked(), begun, api_name="make_review", **slow)
    parts.add.click(handlers.add, chosen, watched, api_name="add_contenders", **slow)
    parts.halt.click(handlers.stop, None, None, api_name="stop_review", **QUIET)
    parts.resume.click(handlers.go_on, review, watched, api_name="continue_review", **QUIET)
    gr.Timer(1.0).tick(handlers.tick, watched, shown, api_name="watch_review", **hidden)
    parts.dataset.input(
        handlers.touch, parts.dataset, None, api_name="touch_review_dataset", **QUIET
    )
    parts.prompts.upload(
        handlers.take_prompts, parts.prompts, parts.dataset, api_name="take_prompts", **slow
    )
    taken = [parts.responses, parts.contenders]
    parts.responses.upload(
        handlers.take_responses, taken, parts.contenders, api_name="take_responses", **slow
    )
    parts.rubric.input(
        handlers.find_rubric, parts.rubric, parts.rubric_text, api_name="find_rubric", **QUIET
    )
    return watched


def offer_making(services: Services) -> tuple[Any, ...]:
    """Return what there is to choose from now: the form, folded where there are reviews, datasets,
    contenders and rubrics.
    """
    datasets = services.dataset_choices(prompt_lists=True)
    contenders = _contenders_now(services, _suggest(services))
    rubrics = gr.Dropdown([rubric.name for rubric in services.reviews.rubrics()])
    form = gr.Accordion(open=not services.reviews.all())
    return form, gr.Dropdown(datasets, value=datasets[0][1]), contenders, rubrics


def reviews_now(services: Services, chosen: str | None) -> Any:
    """Return the reviews there are, with one chosen or else the latest."""
    choices = services.review_choices()
    names = [name for _, name in choices]
    return gr.Dropdown(choices, value=chosen if chosen in names else next(iter(names), None))


class _Handlers:
    """What the form's events do."""

    def __init__(self, services: Services) -> None:
        self.services = services

    @shows_user_errors
    def begin(self, *values: Any) -> tuple[Any, ...]:
        asked = Asked(*values)
        workspace, jobs = self.services.workspace, self.services.review_jobs
        name = asked.name.strip() or self.services.reviews.free_name("review")
        dataset = self.services.datasets.load(asked.dataset)
        names, sampling = asked.contenders or [], asked.sampling()
        plan = replace(
            plan_review(workspace, dataset, name, names, asked.rows(), sampling),
            overlap=int(asked.overlap or 0),
            repeats=float(asked.repeats or 0),
            response_mode=asked.response_mode,
            rubric=asked.chosen_rubric(),
        )
        jobs.check_idle()
        create_review(workspace, dataset, plan)
        jobs.start(name)
        total = len(plan.examples) * len(plan.contenders)
        begun = making_markup(name, 0, total, f"Loading the models … {plan.notice}")
        return name, "", begun, gr.Accordion(open=False)

    @shows_user_errors
    def add(self, chosen: str | None, names: list[str]) -> str:
        name = str(self.services.reviews.find(chosen or "")["name"])
        self.services.review_jobs.check_idle()
        add_contenders(self.services.workspace, name, names or [])
        self.services.review_jobs.start(name)
        return name

    @shows_user_errors
    def go_on(self, chosen: str | None) -> str:
        name = str(self.services.reviews.find(chosen or "")["name"])
        self.services.review_jobs.start(name)
        return name

    def stop(self) -> None:
        self.services.review_jobs.stop()

    def tick(self, shown: str) -> tuple[Any, Any, str]:
        shown = shown or self.services.review_jobs.current or ""
        if not shown:
            return gr.skip(), gr.skip(), ""
        row = self.services.reviews.find(shown)
        done, total = self.services.reviews.progress(row["id"])
        if row["state"] == ReviewState.GENERATING:
            return making_markup(shown, done, total, ""), gr.skip(), shown
        message = "Ready to judge." if row["state"] == ReviewState.READY else row["message"]
        return making_markup(shown, done, total, message), reviews_now(self.services, shown), ""

    def touch(self, key: str) -> None:
        self.services.datasets.touch(key)

    @shows_user_errors
    def take_prompts(self, path: str) -> Any:
        with taken(path, self.services.workspace) as file:
            key = self.services.datasets.keep(load_prompt_list(file))
        return gr.Dropdown(self.services.dataset_choices(prompt_lists=True), value=key)

    @shows_user_errors
    def take_responses(self, path: str, chosen: list[str]) -> Any:
        with taken(path, self.services.workspace) as file:
            read_responses(file)  # whether it holds any is told before it is kept
            target = self.services.workspace.responses / file.name
            write_file(target, file.read_bytes())
        return _contenders_now(self.services, [*(chosen or []), f"{FILE_PREFIX}{target}"])

    def find_rubric(self, name: str | None) -> Any:
        return next(
            (rubric.text for rubric in self.services.reviews.rubrics() if rubric.name == name),
            gr.skip(),
        )


def lay_out_making(services: Services) -> MakingParts:
    """Draw the form."""
    with gr.Accordion("New review", open=not services.reviews.all(), elem_id="new-review") as form:
        parts = {
            **_lay_out_rows(),
            **_lay_out_contenders(),
            **_lay_out_more(),
            **_lay_out_buttons(),
        }
    return MakingParts(form=form, **parts, making=gr.HTML(elem_id="making"))


def _lay_out_rows() -> dict[str, Any]:
    with gr.Row():
        dataset = gr.Dropdown(
            [], label="Dataset", info="whose rows are asked", elem_id="review-dataset"
        )
        split = gr.Dropdown(
            _SPLITS, value="test", label="Rows", info="test rows were never learnt",
            elem_id="review-split",
        )  # fmt: skip
        most = gr.Number(
            50, label="At most", info="rows; 0: all", precision=0, minimum=0, elem_id="review-rows"
        )
        name = gr.Textbox(
            label="Review name",
            placeholder="chosen for you",
            info="optional",
            elem_id="review-name",
        )
    return {"dataset": dataset, "split": split, "most": most, "name": name}


def _lay_out_contenders() -> dict[str, Any]:
    contenders = gr.Dropdown(
        value=[],
        multiselect=True,
        label="Contenders",
        allow_custom_value=True,
        elem_id="contenders",
        info="Two or more: base models, runs, the expected answer, a file of responses, or "
        "an endpoint http://HOST:PORT/v1#MODEL",
    )
    narrow: dict[str, Any] = {"scale": 0, "min_width": 170}
    with gr.Row():
        prompts = gr.UploadButton(
            "Upload prompts", file_types=[*_FILES, ".txt"], elem_id="upload-prompts", **narrow
        )
        responses = gr.UploadButton(
            "Upload responses", file_types=_FILES, elem_id="upload-responses", **narrow
        )
    return {"contenders": contenders, "prompts": prompts, "responses": responses}


def _lay_out_more() -> dict[str, Any]:
    with gr.Accordion("Rubric, people and sampling", open=False):
        with gr.Row():
            rubric = gr.Dropdown(
                [], label="Rubric", info="its name, or an earlier one", allow_custom_value=True,
                value=None, elem_id="rubric",
            )  # fmt: skip
            text = gr.Textbox(
                label="What reviewers judge by", lines=2, info="shown beside every pair; optional",
                scale=3, elem_id="rubric-text",
            )  # fmt: skip
        with gr.Row():
            people, sampling = _lay_out_people(), _lay_out_sampling()
    return {"rubric": rubric, "rubric_text": text, **people, **sampling}


def _lay_out_people() -> dict[str, Any]:
    return {
        "response_mode": gr.Dropdown(
            _MODES, value="pairs", label="What is judged", info="two responses, or one",
            elem_id="response-mode",
        ),
        "overlap": gr.Number(
            0, label="People per pair", info="0: everybody judges all", precision=0, minimum=0
        ),
        "repeats": gr.Number(
            DEFAULT_REPEATS, label="Shown twice", info="% of pairs: does one agree with oneself?",
            minimum=0, maximum=MOST_REPEATS,
        ),
    }  # fmt: skip


def _lay_out_sampling() -> dict[str, Any]:
    usual = Sampling()
    return {
        "max_new_tokens": gr.Number(
            usual.max_new_tokens, label="Longest answer", info="tokens", precision=0, minimum=1
        ),
        "temperature": gr.Number(
            usual.temperature,
            label="Temperature",
            info="0: the likeliest token always",
            minimum=0,
            maximum=5,
        ),
        "seed": gr.Number(
            usual.seed, label="Seed", info="same seed, same answers", precision=0, minimum=0
        ),
    }


def _lay_out_buttons() -> dict[str, Any]:
    with gr.Row():
        return {
            "make": gr.Button(
                "Make the review", variant="primary", scale=0, min_width=170, elem_id="make-review"
            ),
            "add": gr.Button(
                "Add to the chosen review", scale=0, min_width=230, elem_id="add-contenders"
            ),
            "halt": gr.Button("Stop", scale=0, min_width=90, elem_id="stop-review"),
            "resume": gr.Button("Continue", scale=0, min_width=110, elem_id="continue-review"),
        }


def _contenders_now(services: Services, chosen: list[str]) -> Any:
    return gr.Dropdown(
        _contender_choices(services), value=chosen, multiselect=True, allow_custom_value=True
    )


def _contender_choices(services: Services) -> list[Choice]:
    files = [
        (f"{path.name} (responses)", f"{FILE_PREFIX}{path}")
        for path in sorted(services.workspace.responses.glob("*"))
    ]
    return [*services.model_choices(), ("the expected answer", EXPECTED), *files]


def _suggest(services: Services) -> list[str]:
    """Return base against the latest run, the comparison most people want first."""
    newest = services.newest_model()
    base = services.runs.settings(newest).model if newest else bundled_models()[0]
    return [base, *([newest] if newest else [])]
