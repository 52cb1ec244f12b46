"""The Review screen: make a review, then judge its pairs blind."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import gradio as gr

from core.data.examples import SplitName
from core.generation.sampling import Sampling
from core.models.catalogue import bundled_models
from review.making import RowChoice, create_review, plan_review
from review.rating import check_reviewer
from review.store import EXPECTED
from ui.components import QUIET, static_files, when_opened
from ui.errors import shows_user_errors
from ui.review.pair import pair_functions
from ui.review.views import making_markup, review_choices
from ui.services import Choice, Services

_SPLITS = [("Test rows", "test"), ("Validation rows", "validation"), ("All rows", "all")]


@dataclass(frozen=True)
class _Parts:
    dataset: gr.Dropdown
    split: gr.Dropdown
    most: gr.Number
    name: gr.Textbox
    contenders: gr.Dropdown
    overlap: gr.Number
    sampling: tuple[gr.Number, gr.Number, gr.Number]  # longest answer, temperature, seed
    make: gr.Button
    halt: gr.Button
    resume: gr.Button
    making: gr.HTML
    review: gr.Dropdown
    reviewer: gr.Textbox
    judge: gr.Button
    pair: gr.HTML
    watched: gr.State  # the review whose making this page shows


def build_review_tab(services: Services, tab: gr.Tab | None = None) -> None:
    """Lay the screen out and wire it; opening ``tab`` offers what was added elsewhere."""
    parts = _Parts(**_lay_out_making(services), **_lay_out_judging(services), watched=gr.State(""))
    handlers = _Handlers(services)
    made = [parts.dataset, parts.split, parts.most, parts.name, parts.contenders, parts.overlap, *parts.sampling]
    shown = [parts.watched, parts.name, parts.making]
    parts.make.click(handlers.begin, made, shown, api_name="make_review", concurrency_limit=None)
    parts.halt.click(handlers.stop, None, None, api_name="stop_review", **QUIET)
    parts.resume.click(handlers.go_on, parts.review, parts.watched, api_name="continue_review", **QUIET)
    gr.Timer(1.0).tick(
        handlers.tick, parts.watched, [parts.making, parts.review, parts.watched], api_name="watch_review",
        api_visibility="private", queue=False, **QUIET,
    )  # fmt: skip
    opening = [parts.judge.click, parts.reviewer.submit]
    gr.on(opening, handlers.open_pairs, [parts.review, parts.reviewer], parts.pair, api_name="judge", **QUIET)
    when_opened(tab, handlers.refresh, [parts.dataset, parts.contenders, parts.review], "refresh_review")
    parts.dataset.input(handlers.touch, parts.dataset, None, api_name="touch_review_dataset", **QUIET)


class _Handlers:
    """What the screen's events do."""

    def __init__(self, services: Services) -> None:
        self.services = services

    @shows_user_errors
    def begin(
        self, key: str, part: str, rows: float, typed: str, names: list[str], overlap: float, *values: float
    ) -> tuple[str, str, str]:
        name = typed.strip() or self.services.reviews.free_name("review")
        longest, temperature, seed = (value or 0 for value in values)
        sampling = Sampling(temperature=float(temperature), max_new_tokens=int(longest), seed=int(seed))
        choice = RowChoice(None if part == "all" else cast("SplitName", part), int(rows or 0))
        dataset = self.services.datasets.load(key)
        plan = replace(
            plan_review(self.services.workspace, dataset, name, names or [], choice, sampling), overlap=int(overlap or 0)
        )
        self.services.review_jobs.check_idle()
        create_review(self.services.workspace, dataset, plan)
        self.services.review_jobs.start(name)
        return name, "", making_markup(name, 0, len(plan.examples) * len(plan.contenders), "Loading the models …")

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
        return making_markup(shown, done, total, message), _reviews_now(self.services, shown), ""

    @shows_user_errors
    def open_pairs(self, chosen: str | None, person: str, request: gr.Request | None = None) -> str:
        signed_in = request.username if request else None
        return json.dumps(
            {"review": self.services.reviews.find(chosen or "")["name"], "reviewer": signed_in or check_reviewer(person or "")}
        )

    def touch(self, key: str) -> None:
        self.services.datasets.touch(key)

    def refresh(self) -> tuple[Any, ...]:
        datasets = self.services.dataset_choices()
        contenders = gr.Dropdown(_contender_choices(self.services), value=_suggest(self.services))
        return gr.Dropdown(datasets, value=datasets[0][1]), contenders, _reviews_now(self.services, None)


def _lay_out_making(services: Services) -> dict[str, Any]:
    with gr.Accordion("New review", open=not services.reviews.all(), elem_id="new-review"):
        with gr.Row():
            dataset = gr.Dropdown([], label="Dataset", info="whose rows are asked", elem_id="review-dataset")
            split = gr.Dropdown(_SPLITS, value="test", label="Rows", info="test rows were never learnt", elem_id="review-split")
            most = gr.Number(50, label="At most", info="rows; 0: all", precision=0, minimum=0, elem_id="review-rows")
            name = gr.Textbox(label="Review name", placeholder="chosen for you", info="optional", elem_id="review-name")
        contenders = gr.Dropdown(
            value=[], multiselect=True, label="Contenders", allow_custom_value=True,
            info="Two or more: base models, runs, or the expected answer", elem_id="contenders",
        )  # fmt: skip
        with gr.Row():
            overlap = gr.Number(0, label="People per pair", info="0: everybody judges all", precision=0, minimum=0)
            sampling = (
                gr.Number(128, label="Longest answer", info="tokens", precision=0, minimum=1),
                gr.Number(0.0, label="Temperature", info="0: the likeliest token always", minimum=0, maximum=5),
                gr.Number(42, label="Seed", info="same seed, same answers", precision=0, minimum=0),
            )
        with gr.Row():
            make = gr.Button("Make the review", variant="primary", scale=0, min_width=170, elem_id="make-review")
            halt = gr.Button("Stop", scale=0, min_width=90, elem_id="stop-review")
            resume = gr.Button("Continue", scale=0, min_width=110, elem_id="continue-review")
        making = gr.HTML(elem_id="making")
    asked = {
        "dataset": dataset,
        "split": split,
        "most": most,
        "name": name,
        "contenders": contenders,
        "overlap": overlap,
        "sampling": sampling,
    }
    return {**asked, "make": make, "halt": halt, "resume": resume, "making": making}


def _lay_out_judging(services: Services) -> dict[str, Any]:
    reviews = review_choices(services.reviews.all())
    with gr.Row(elem_id="judging"):
        review = gr.Dropdown(
            reviews, value=reviews[0][1] if reviews else None, label="Review", interactive=True, elem_id="review"
        )
        reviewer = gr.Textbox(label="Your name", placeholder="so that your verdicts are yours", max_length=64, elem_id="reviewer")
        judge = gr.Button("Judge", variant="primary", scale=0, min_width=120, elem_id="judge")
    pair = gr.HTML(
        json.dumps({}),
        **static_files(Path(__file__).parent, "pair", "answers"),
        server_functions=pair_functions(services),
        apply_default_css=False,
        elem_id="pair",
    )
    return {"review": review, "reviewer": reviewer, "judge": judge, "pair": pair}


def _contender_choices(services: Services) -> list[Choice]:
    return [*services.model_choices(), ("the expected answer", EXPECTED)]


def _suggest(services: Services) -> list[str]:
    """Return base against the latest run, the comparison most people want first."""
    bundled = bundled_models()[0]
    tuned = [name for _, name in services.model_choices() if name not in bundled_models()]
    return [bundled, *tuned[:1]]


def _reviews_now(services: Services, chosen: str | None) -> Any:
    choices = review_choices(services.reviews.all())
    names = [name for _, name in choices]
    return gr.Dropdown(choices, value=chosen if chosen in names else next(iter(names), None))
