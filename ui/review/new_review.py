"""The form of a new review: whose rows, which contenders, what reviewers judge by."""

from dataclasses import dataclass, replace
from typing import Any, cast

import gradio as gr

from core.datasets.conversation import SplitName
from core.datasets.prompt_lists import load_questions
from core.generation.sampling import Sampling
from core.models.resolve import bundled_models
from core.storage.atomic_write import write_file
from review.domain.contender import EXPECTED
from review.domain.plan import MOST_REPEATS
from review.domain.rubric import NO_RUBRIC, Rubric
from review.setup.contenders import FILE_PREFIX
from review.setup.generate_responses import RowChoice, add_contenders, create_review, plan_review
from review.setup.response_files import read_responses
from ui.error_messages import shows_user_errors
from ui.gradio_events import QUIET
from ui.review.views import making_markup
from ui.services import Choice, Services
from ui.uploads import taken

_SPLITS = [("Test rows", "test"), ("Validation rows", "validation"), ("All rows", "all")]
_ANSWERS = [
    ("Pairs side by side", "pairs"),
    ("Single responses: pass or fail", "pass"),
    ("Single responses: 1 to 5 stars", "stars"),
]
_FILES = [".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".gz"]


@dataclass(frozen=True)
class MakingParts:
    """The form's components."""

    form: gr.Accordion
    dataset: gr.Dropdown
    split: gr.Dropdown
    most: gr.Number
    name: gr.Textbox
    prompts: gr.UploadButton
    contenders: gr.Dropdown
    responses: gr.UploadButton
    rubric: gr.Dropdown
    rubric_text: gr.Textbox
    overlap: gr.Number
    repeats: gr.Number
    answers: gr.Dropdown
    sampling: tuple[gr.Number, gr.Number, gr.Number]  # longest answer, temperature, seed
    make: gr.Button
    add: gr.Button
    halt: gr.Button
    resume: gr.Button
    making: gr.HTML


def build_making(services: Services, parts: MakingParts, review: gr.Dropdown) -> gr.State:
    """Wire the form; ``review`` is the chosen one. Returns the name of the review whose making this page shows."""
    handlers = _Handlers(services)
    watched = gr.State("")
    asked = [
        parts.dataset,
        parts.split,
        parts.most,
        parts.name,
        parts.contenders,
        parts.overlap,
        parts.rubric,
        parts.rubric_text,
        parts.repeats,
        parts.answers,
    ]
    begun = [watched, parts.name, parts.making]
    folded = [*begun, parts.form]
    parts.make.click(handlers.begin, [*asked, *parts.sampling], folded, api_name="make_review", concurrency_limit=None)
    parts.add.click(handlers.add, [review, parts.contenders], watched, api_name="add_contenders", concurrency_limit=None)
    parts.halt.click(handlers.stop, None, None, api_name="stop_review", **QUIET)
    parts.resume.click(handlers.go_on, review, watched, api_name="continue_review", **QUIET)
    gr.Timer(1.0).tick(
        handlers.tick, watched, [parts.making, review, watched], api_name="watch_review",
        api_visibility="private", **QUIET,
    )  # fmt: skip
    parts.dataset.input(handlers.touch, parts.dataset, None, api_name="touch_review_dataset", **QUIET)
    parts.prompts.upload(handlers.take_prompts, parts.prompts, parts.dataset, api_name="take_prompts", concurrency_limit=None)
    taken = [parts.responses, parts.contenders]
    parts.responses.upload(handlers.take_responses, taken, parts.contenders, api_name="take_responses", concurrency_limit=None)
    parts.rubric.input(handlers.find_rubric, parts.rubric, parts.rubric_text, api_name="find_rubric", **QUIET)
    return watched


def offer_making(services: Services) -> tuple[Any, ...]:
    """Return what there is to choose from now: the form, folded where there are reviews, datasets, contenders and rubrics."""
    datasets = services.dataset_choices(questions=True)
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
    def begin(
        self, key: str, part: str, rows: float, typed: str, names: list[str], overlap: float, *rest: Any
    ) -> tuple[Any, ...]:
        name = typed.strip() or self.services.reviews.free_name("review")
        rubric = Rubric(str(rest[0] or "Rubric").strip(), str(rest[1] or "").strip())
        longest, temperature, seed = (value or 0 for value in rest[4:])
        sampling = Sampling(temperature=float(temperature), max_new_tokens=int(longest), seed=int(seed))
        choice = RowChoice(None if part == "all" else cast("SplitName", part), int(rows or 0))
        dataset = self.services.datasets.load(key)
        plan = replace(
            plan_review(self.services.workspace, dataset, name, names or [], choice, sampling),
            overlap=int(overlap or 0),
            repeats=float(rest[2] or 0),
            answers=rest[3],
            rubric=rubric if rubric.text else NO_RUBRIC,
        )
        self.services.review_jobs.check_idle()
        create_review(self.services.workspace, dataset, plan)
        self.services.review_jobs.start(name)
        words = f"Loading the models … {plan.notice}"
        return name, "", making_markup(name, 0, len(plan.examples) * len(plan.contenders), words), gr.Accordion(open=False)

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
        if row["state"] == "generating":
            return making_markup(shown, done, total, ""), gr.skip(), shown
        message = "Ready to judge." if row["state"] == "ready" else row["message"]
        return making_markup(shown, done, total, message), reviews_now(self.services, shown), ""

    def touch(self, key: str) -> None:
        self.services.datasets.touch(key)

    @shows_user_errors
    def take_prompts(self, path: str) -> Any:
        with taken(path, self.services.workspace) as file:
            key = self.services.datasets.keep(load_questions(file))
        return gr.Dropdown(self.services.dataset_choices(questions=True), value=key)

    @shows_user_errors
    def take_responses(self, path: str, chosen: list[str]) -> Any:
        with taken(path, self.services.workspace) as file:
            read_responses(file)  # whether it holds any is told before it is kept
            target = self.services.workspace.responses / file.name
            write_file(target, file.read_bytes())
        return _contenders_now(self.services, [*(chosen or []), f"{FILE_PREFIX}{target}"])

    def find_rubric(self, name: str | None) -> Any:
        return next((rubric.text for rubric in self.services.reviews.rubrics() if rubric.name == name), gr.skip())


def lay_out_making(services: Services) -> MakingParts:
    """Draw the form."""
    with gr.Accordion("New review", open=not services.reviews.all(), elem_id="new-review") as form:
        with gr.Row():
            dataset = gr.Dropdown([], label="Dataset", info="whose rows are asked", elem_id="review-dataset")
            split = gr.Dropdown(_SPLITS, value="test", label="Rows", info="test rows were never learnt", elem_id="review-split")
            most = gr.Number(50, label="At most", info="rows; 0: all", precision=0, minimum=0, elem_id="review-rows")
            name = gr.Textbox(label="Review name", placeholder="chosen for you", info="optional", elem_id="review-name")
        contenders = gr.Dropdown(
            value=[], multiselect=True, label="Contenders", allow_custom_value=True, elem_id="contenders",
            info="Two or more: base models, runs, the expected answer, a file of responses, or an endpoint http://HOST:PORT/v1#MODEL",
        )  # fmt: skip
        with gr.Row():
            prompts = gr.UploadButton(
                "Upload prompts", file_types=[*_FILES, ".txt"], scale=0, min_width=170, elem_id="upload-prompts"
            )
            responses = gr.UploadButton("Upload responses", file_types=_FILES, scale=0, min_width=170, elem_id="upload-responses")
        rubric, rubric_text, overlap, repeats, answers, sampling = _lay_out_more()
        with gr.Row():
            make = gr.Button("Make the review", variant="primary", scale=0, min_width=170, elem_id="make-review")
            add = gr.Button("Add to the chosen review", scale=0, min_width=230, elem_id="add-contenders")
            halt = gr.Button("Stop", scale=0, min_width=90, elem_id="stop-review")
            resume = gr.Button("Continue", scale=0, min_width=110, elem_id="continue-review")
    making = gr.HTML(elem_id="making")
    asked = (
        form,
        dataset,
        split,
        most,
        name,
        prompts,
        contenders,
        responses,
        rubric,
        rubric_text,
        overlap,
        repeats,
        answers,
        sampling,
    )
    return MakingParts(*asked, make, add, halt, resume, making)


def _lay_out_more() -> tuple[gr.Dropdown, gr.Textbox, gr.Number, gr.Number, gr.Dropdown, tuple[gr.Number, gr.Number, gr.Number]]:
    with gr.Accordion("Rubric, people and sampling", open=False):
        with gr.Row():
            rubric = gr.Dropdown(
                [], label="Rubric", info="its name, or an earlier one", allow_custom_value=True, value=None, elem_id="rubric"
            )
            text = gr.Textbox(
                label="What reviewers judge by", lines=2, info="shown beside every pair; optional", scale=3, elem_id="rubric-text"
            )
        with gr.Row():
            answers = gr.Dropdown(
                _ANSWERS, value="pairs", label="What is judged", info="two responses, or one", elem_id="answers"
            )
            overlap = gr.Number(0, label="People per pair", info="0: everybody judges all", precision=0, minimum=0)
            repeats = gr.Number(
                5, label="Shown twice", info="% of pairs: does one agree with oneself?", minimum=0, maximum=MOST_REPEATS
            )
            sampling = (
                gr.Number(128, label="Longest answer", info="tokens", precision=0, minimum=1),
                gr.Number(0.0, label="Temperature", info="0: the likeliest token always", minimum=0, maximum=5),
                gr.Number(42, label="Seed", info="same seed, same answers", precision=0, minimum=0),
            )
    return rubric, text, overlap, repeats, answers, sampling


def _contenders_now(services: Services, chosen: list[str]) -> Any:
    return gr.Dropdown(_contender_choices(services), value=chosen, multiselect=True, allow_custom_value=True)


def _contender_choices(services: Services) -> list[Choice]:
    files = [(f"{path.name} (responses)", f"{FILE_PREFIX}{path}") for path in sorted(services.workspace.responses.glob("*"))]
    return [*services.model_choices(), ("the expected answer", EXPECTED), *files]


def _suggest(services: Services) -> list[str]:
    """Return base against the latest run, the comparison most people want first."""
    newest = services.newest_model()
    base = services.runs.settings(newest).model if newest else bundled_models()[0]
    return [base, *([newest] if newest else [])]
