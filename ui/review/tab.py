"""The Review screen: make a review, then judge its pairs blind; and the page of reviewers who
signed in, who judge alone.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from review.domain.rating import check_reviewer
from review.results.report import report_review
from review.results.single_responses import report_singles
from ui.arena.tab import lay_out_battle
from ui.error_messages import shows_user_errors
from ui.gate import signed_in_user
from ui.gradio_events import QUIET, static_files, when_opened
from ui.markup import paragraph
from ui.results.views import pairs_markup, singles_markup
from ui.review.judge.api import pair_functions
from ui.review.new_review import build_making, lay_out_making, offer_making, reviews_now
from ui.services import Services

_ALL, _DISPUTED = "all", "disputed"
_PARTS = [("All, in my own order", _ALL), ("Those on which others differ", _DISPUTED)]
_NAME_INFO = "so that your verdicts are yours"


@dataclass(frozen=True)
class _Parts:
    review: gr.Dropdown
    reviewer: gr.Textbox
    which: gr.Dropdown
    judge: gr.Button
    pair: gr.HTML


def build_review_tab(services: Services, tab: gr.Tab | None = None) -> None:
    """Lay the screen out and wire it; opening ``tab`` offers what was added elsewhere."""
    making = lay_out_making(services)
    parts = _lay_out_judging(services)
    build_making(services, making, parts.review)

    def refresh() -> tuple[Any, ...]:
        people = services.reviews.all_reviewers()
        so_far = gr.Textbox(
            info=f"{_NAME_INFO}; so far: {', '.join(people[:12])}" if people else _NAME_INFO
        )
        return *offer_making(services), reviews_now(services, None), so_far

    offered = [
        making.form,
        making.dataset,
        making.contenders,
        making.rubric,
        parts.review,
        parts.reviewer,
    ]
    _wire(services, parts)
    when_opened(tab, refresh, offered, "refresh_review")


def build_judging(services: Services) -> None:
    """Build what a reviewer who signed in sees: the reviews there are, pairs to judge, and the
    results that the owner shares.
    """
    parts = _lay_out_judging(services, asks_name=False)
    with gr.Accordion("The result, where it is shared", open=False):
        result = gr.HTML("", elem_id="shared-result")
        show = gr.Button("Show", scale=0, min_width=110, elem_id="show-shared")
    with gr.Accordion("The arena, where it is shared", open=False, elem_id="shared-arena"):
        lay_out_battle(services, is_shared=True)

    @shows_user_errors
    def show_shared(chosen: str | None) -> str:
        review = services.reviews.find(chosen or "")
        if not review["shared"]:
            return paragraph("The owner does not share the result of this review.")
        if review["response_mode"] != "pairs":
            return singles_markup(report_singles(services.reviews, review["name"]))
        return pairs_markup(report_review(services.reviews, review["name"]))

    def refresh() -> Any:
        return reviews_now(services, None)

    _wire(services, parts)
    show.click(show_shared, parts.review, result, api_name="show_shared", **QUIET)
    when_opened(None, refresh, [parts.review], "refresh_judging")


def _wire(services: Services, parts: _Parts) -> None:
    @shows_user_errors
    def open_pairs(
        chosen: str | None, person: str, part: str, request: gr.Request | None = None
    ) -> str:
        name = services.reviews.find(chosen or "")["name"]
        reviewer = services.reviews.known_reviewer(
            check_reviewer(signed_in_user(request) or person or "")
        )
        who = {"review": name, "reviewer": reviewer}
        return json.dumps({**who, "adjudicates": True} if part == _DISPUTED else who)

    asked = [parts.review, parts.reviewer, parts.which]
    gr.on(
        [parts.judge.click, parts.reviewer.submit],
        open_pairs,
        asked,
        parts.pair,
        api_name="judge",
        **QUIET,
    )


def _lay_out_judging(services: Services, *, asks_name: bool = True) -> _Parts:
    reviews = services.review_choices()
    with gr.Row(elem_id="judging"):
        review = gr.Dropdown(
            reviews,
            value=reviews[0][1] if reviews else None,
            label="Review",
            interactive=True,
            elem_id="review",
        )
        reviewer = gr.Textbox(
            label="Your name", info=_NAME_INFO, max_length=64, elem_id="reviewer", visible=asks_name
        )
        which = gr.Dropdown(
            _PARTS,
            value=_ALL,
            label="Pairs",
            interactive=True,
            min_width=190,
            elem_id="which-pairs",
        )
        judge = gr.Button("Judge", variant="primary", scale=0, min_width=120, elem_id="judge")
    pair = gr.HTML(
        json.dumps({}),
        **static_files(Path(__file__).with_name("judge"), "judge"),
        server_functions=pair_functions(services),
        apply_default_css=False,
        elem_id="pair",
    )
    return _Parts(review, reviewer, which, judge, pair)
