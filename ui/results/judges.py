"""Other models as judges, on the Results screen: let go, watched, and judged themselves."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from core.errors import ReviewError
from core.generation.openai_endpoint import models_served
from core.progress import about_time
from review.judges.agreement import report_judges
from review.judges.annotations import graded_results
from review.judges.background import JudgingState, JudgingTask
from review.judges.protocols import CHOICES, CLASSIFYING, CRITERIA, PROTOCOLS, find_protocol
from review.judges.run import plan_judging
from review.judges.store import JudgeStore, stored_protocol
from review.judges.text import kin_sentence
from ui.error_messages import answers_errors, shows_user_errors, text, whole_number
from ui.gradio_events import FOLLOWING, QUIET, follow, static_files
from ui.markup import fill_template
from ui.services import Choice, Services

_PROTOCOLS: list[Choice] = [
    ("Two answers side by side, in both orders", "pairwise"),
    ("One letter for the better one, as AlpacaEval asks", "alpaca"),
    ("0 to 100, against the expected answer", "score"),
    ("1 to 10 with reasons, as MT-bench asks", "mt-bench"),
    ("1 to 5 by several criteria", "rubric"),
    ("One of your own descriptions, by one letter", "classify"),
    ("One of your own descriptions, reasons first", "cot-classify"),
]
_LINES: dict[str, tuple[str, tuple[str, ...]]] = {  # what a protocol asks by, and the usual lines
    "rubric": ("Criteria, one a line: it …", CRITERIA),
    **dict.fromkeys(CLASSIFYING, ("Descriptions, one a line, and what each counts", CHOICES)),
}
assert {name for _, name in _PROTOCOLS} == set(PROTOCOLS)


@dataclass(frozen=True)
class _Form:
    model: gr.Dropdown
    protocol: gr.Dropdown
    most: gr.Number
    criteria: gr.Textbox
    words: gr.Textbox

    @property
    def asked(self) -> list[Any]:
        """Everything that says how a judge is asked, in the order handlers take it."""
        return [self.model, self.protocol, self.most, self.criteria, self.words]


@dataclass(frozen=True)
class JudgesSection:
    """What is shown of a review's judges."""

    judges: gr.HTML
    judging: gr.HTML
    form: _Form
    plan: gr.Button
    start: gr.Button
    card: gr.HTML


def lay_out_judges(services: Services) -> JudgesSection:
    """Lay out the judges of a review."""
    with gr.Accordion("Other models as judges", open=False, elem_id="judges-section"):
        judges = gr.HTML(elem_id="judges")
        judging = gr.HTML(
            json.dumps({}),
            **static_files(Path(__file__).parent, "judging", "judged"),
            server_functions=_judging_functions(services),
            apply_default_css=False,
            elem_id="judging-now",
        )
        form = _lay_out_form(services)
        with gr.Row():
            plan = gr.Button("See what it will be asked", elem_id="plan-judging")
            start = gr.Button("Let it judge", variant="primary", elem_id="start-judging")
        card = gr.HTML(elem_id="judging-card")
    return JudgesSection(judges, judging, form, plan, start, card)


def wire_judges(
    section: JudgesSection, services: Services, review: gr.Dropdown, opened: Any
) -> None:
    """Wire the judges of ``review``; they are looked up when the tab is ``opened``."""
    handlers, form = _Handlers(services), section.form
    shown = [section.judges, section.judging]
    private: dict[str, Any] = {"api_visibility": "private"}
    follow(
        opened, [review.change], handlers.show, review, shown, api_name="show_judges", **FOLLOWING
    )
    opened.then(handlers.offer, form.model, form.model, **private, **QUIET)
    form.model.input(handlers.offer, form.model, form.model, api_name="list_judges", **FOLLOWING)
    form.protocol.input(
        handlers.words_of, form.protocol, [form.criteria, form.words], api_name="judge_words",
        **FOLLOWING,
    )  # fmt: skip
    asked = [review, *form.asked]
    section.plan.click(handlers.plan, asked, section.card, api_name="plan_judging")
    begun = section.start.click(
        handlers.start, asked, section.card, api_name="start_judging", **QUIET
    )
    begun.success(handlers.show, review, shown, **private, **FOLLOWING)
    # an event of our own, that judging.js triggers
    section.judging.judged(handlers.show, review, shown, **private, **FOLLOWING)


def _lay_out_form(services: Services) -> _Form:
    with gr.Row():
        model = gr.Dropdown(
            services.model_choices(), label="Judge", allow_custom_value=True, value=None,
            info="A model, or http://HOST:PORT/v1: what it serves is listed then.",
            elem_id="judge-model",
        )  # fmt: skip
        protocol = gr.Dropdown(
            _PROTOCOLS, value="pairwise", label="It is asked for",
            info="Pairs in both orders, since many judges prefer what stands first.",
            elem_id="judge-protocol",
        )  # fmt: skip
        most = gr.Number(
            0, precision=0, minimum=0, label="Pairs or answers",
            info="The first so many; 0 for all.", elem_id="judge-most", min_width=130,
        )  # fmt: skip
    with gr.Accordion("Its words", open=False, elem_id="judge-advanced"):
        criteria = gr.Textbox(
            lines=4, label=_LINES["rubric"][0], visible=False, elem_id="judge-criteria",
        )  # fmt: skip
        words = gr.Textbox(
            find_protocol("pairwise").template, lines=10, label="What it is asked",
            info="{task}, {expected}, {first} and {second} stand for the texts, between marks, "
            "{criterion} for one of a rubric, {choices} for descriptions to choose of.",
            elem_id="judge-words",
        )  # fmt: skip
    return _Form(model, protocol, most, criteria, words)


class _Handlers:
    """What the section's events do."""

    def __init__(self, services: Services) -> None:
        self.services = services

    @shows_user_errors
    def show(self, name: str | None) -> tuple[str, str]:
        """Show a review's judges, and watch those that are at work."""
        reviews = self.services.reviews
        options: dict[str, Any] = {"kin_sentence": kin_sentence}
        if not name:
            return fill_template(
                "judges", reports=[], graded={}, is_possible=False, **options
            ), json.dumps({})
        markup = fill_template(
            "judges",
            reports=report_judges(reviews, name),
            graded={one.number: one for one in graded_results(reviews, name)},
            is_possible=True,
            **options,
        )
        # the time, so that the component looks again even at the same review
        return markup, json.dumps({"review": name, "at": time.time_ns()})

    @shows_user_errors
    def offer(self, chosen: str | None) -> Any:
        """Offer the models that can judge; for an address those that are served there."""
        known = self.services.model_choices()
        if chosen and chosen.startswith(("http://", "https://")) and "#" not in chosen:
            served = models_served(chosen)
            value = served[0] if len(served) == 1 else chosen
            return gr.Dropdown([*served, *known], value=value, allow_custom_value=True)
        return gr.Dropdown(known, allow_custom_value=True)

    def words_of(self, protocol: str) -> tuple[Any, Any]:
        """Show the words of a protocol."""
        label, lines = _LINES.get(protocol, ("", ()))
        criteria = gr.Textbox("\n".join(lines), label=label, visible=bool(lines))
        return criteria, find_protocol(protocol).template

    @shows_user_errors
    def plan(self, name: str | None, *asked: Any) -> str:
        """Say what a judge would be asked."""
        task = _read(name, *asked)
        plan = plan_judging(
            self.services.workspace, task.review, task.model, task.protocol, task.most
        )
        return fill_template("judging_plan", plan=plan)

    @shows_user_errors
    def start(self, name: str | None, *asked: Any) -> str:
        """Let a judge judge."""
        self.services.judging_jobs.start(_read(name, *asked))
        return ""


def _read(
    review: str | None,
    model: str | None,
    protocol: str,
    most: float | None,
    criteria: str | None,
    words: str | None,
) -> JudgingTask:
    """Return what a form asks for. Raises ReviewError."""
    if not review:
        raise ReviewError("Choose a review first.")
    if not (model or "").strip():
        raise ReviewError("Choose a judge: a model, or http://HOST:PORT/v1#MODEL.")
    return JudgingTask(
        review=review, model=(model or "").strip(), most=max(int(most or 0), 0),
        protocol=find_protocol(protocol, (words or "").strip(), (criteria or "").splitlines()),
    )  # fmt: skip


def _judging_functions(services: Services) -> list[Callable[[dict[str, Any]], Any]]:
    """Return the functions that judging.js calls by name."""
    jobs = services.judging_jobs

    @answers_errors
    def read_judging(question: dict[str, Any]) -> dict[str, Any]:
        return {"tasks": [_view(state) for state in jobs.states(text(question, "review"))]}

    @answers_errors
    def change_judge(question: dict[str, Any]) -> dict[str, Any]:
        review, what = text(question, "review"), text(question, "what")
        if what in {"stop", "hide"}:
            (jobs.stop if what == "stop" else jobs.forget)(text(question, "name"))
            return {"done": what}
        store = JudgeStore(services.reviews)
        number = whole_number(question, "judge")
        judge = store.find(services.reviews.find(review)["id"], number)
        task = JudgingTask(review=review, model=judge["model"], protocol=stored_protocol(judge))
        if what == "rest":
            jobs.start(task)
        elif what == "forget":
            jobs.check_idle(task.name)
            store.forget(number)
        else:
            raise ReviewError("The page asks in a way that is not understood: reload it.")
        return {"done": what}

    return [read_judging, change_judge]


def _view(state: JudgingState) -> dict[str, Any]:
    progress = state.progress
    return {
        "name": state.name,
        "going_on": state.is_going_on,
        "words": state.words,
        "left": about_time(state.seconds_left) if state.seconds_left is not None else "",
        "share": progress.done / progress.total if progress and progress.total else None,
    }
