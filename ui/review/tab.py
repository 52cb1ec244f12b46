"""The Review screen: make a review, then judge its pairs blind."""

import json
from pathlib import Path
from typing import Any

import gradio as gr

from review.rating import check_reviewer
from ui.components import QUIET, static_files, when_opened
from ui.errors import shows_user_errors
from ui.review.making import build_making, lay_out_making, offer_making, reviews_now
from ui.review.pair import pair_functions
from ui.review.views import review_choices
from ui.services import Services

_ALL, _DISPUTED = "all", "disputed"
_PARTS = [("All, in my own order", _ALL), ("Those on which others differ", _DISPUTED)]


def build_review_tab(services: Services, tab: gr.Tab | None = None) -> None:
    """Lay the screen out and wire it; opening ``tab`` offers what was added elsewhere."""
    making = lay_out_making(services)
    review, reviewer, which, judge, pair = _lay_out_judging(services)
    build_making(services, making, review)

    @shows_user_errors
    def open_pairs(chosen: str | None, person: str, part: str, request: gr.Request | None = None) -> str:
        signed_in = request.username if request else None
        name = services.reviews.find(chosen or "")["name"]
        who = {"review": name, "reviewer": signed_in or check_reviewer(person or "")}
        return json.dumps({**who, "settles": True} if part == _DISPUTED else who)

    def refresh() -> tuple[Any, ...]:
        return *offer_making(services), reviews_now(services, None)

    gr.on([judge.click, reviewer.submit], open_pairs, [review, reviewer, which], pair, api_name="judge", **QUIET)
    when_opened(tab, refresh, [making.dataset, making.contenders, making.rubric, review], "refresh_review")


def _lay_out_judging(services: Services) -> tuple[gr.Dropdown, gr.Textbox, gr.Dropdown, gr.Button, gr.HTML]:
    reviews = review_choices(services.reviews.all())
    with gr.Row(elem_id="judging"):
        review = gr.Dropdown(
            reviews, value=reviews[0][1] if reviews else None, label="Review", interactive=True, elem_id="review"
        )
        reviewer = gr.Textbox(label="Your name", placeholder="so that your verdicts are yours", max_length=64, elem_id="reviewer")
        which = gr.Dropdown(_PARTS, value=_ALL, label="Pairs", interactive=True, min_width=190, elem_id="which-pairs")
        judge = gr.Button("Judge", variant="primary", scale=0, min_width=120, elem_id="judge")
    pair = gr.HTML(
        json.dumps({}),
        **static_files(Path(__file__).parent, "pair", "answers"),
        server_functions=pair_functions(services),
        apply_default_css=False,
        elem_id="pair",
    )
    return review, reviewer, which, judge, pair
