"""The Results screen: what the verdicts say, how sure that is, and the ratings as files."""

from typing import Any

import gradio as gr

from core.storage.folders import write_file
from review.exports import export_review
from review.rating import TAGS
from review.report import report_review
from ui.components import FOLLOWING, QUIET, follow, when_opened
from ui.errors import shows_user_errors
from ui.results.views import result_markup
from ui.review.views import review_choices
from ui.services import Choice, Services

EVERYBODY: Choice = ("everybody", "")
ANY_TAG: Choice = ("any tag or none", "")
_FORMATS = [
    ("CSV table", "csv"),
    ("JSON lines", "jsonl"),
    ("SFT rows (corrections)", "sft"),
    ("DPO pairs", "dpo"),
    ("KTO rows", "kto"),
]


def build_results_tab(services: Services, tab: gr.Tab | None = None) -> None:
    """Lay the screen out and wire it; opening ``tab`` counts anew."""
    with gr.Row():
        review = gr.Dropdown([], label="Review", interactive=True, elem_id="result-review")
        reviewer = gr.Dropdown(
            [EVERYBODY], value="", label="Reviewer", interactive=True, elem_id="result-reviewer", min_width=130
        )
        tag = gr.Dropdown([ANY_TAG, *TAGS], value="", label="Tag", interactive=True, elem_id="result-tag", min_width=130)
        again = gr.Button("Count again", scale=0, min_width=130, elem_id="count-again")
    result = gr.HTML("<p>Make a review and judge some pairs first.</p>", elem_id="result")
    with gr.Row():
        form = gr.Dropdown(_FORMATS, value="csv", label="Export as", elem_id="export-format", interactive=True)
        export = gr.Button("Export", scale=0, min_width=130, elem_id="export")
    file = gr.File(label="Exported file", interactive=False, visible=False, elem_id="exported")

    @shows_user_errors
    def show(name: str | None, person: str | None, chosen: str | None) -> Any:
        if not name:
            return gr.skip()
        return result_markup(report_review(services.reviews, name, reviewer=person or "", tag=chosen or ""))

    def offer(name: str | None) -> Any:
        return gr.Dropdown([EVERYBODY, *(services.reviews.reviewers(name) if name else [])], value="")

    @shows_user_errors
    def write(name: str | None, wanted: str) -> Any:
        text = export_review(services.reviews, name or "", wanted)
        suffix = "csv" if wanted == "csv" else "jsonl"
        target = services.workspace.exports / f"{name}-{wanted}.{suffix}"
        write_file(target, text.encode())
        return gr.File(str(target), visible=True)

    def refresh() -> Any:
        known = review_choices(services.reviews.all())
        latest = next((value for _, value in known), None)
        return gr.Dropdown(known, value=latest), offer(latest)

    opened = when_opened(tab, refresh, [review, reviewer], "refresh_results")
    asked = [review, reviewer, tag]
    chosen = review.change(offer, review, reviewer, api_name="offer_reviewers", api_visibility="private", **QUIET)
    chosen.then(show, asked, result, api_name="show_other_result", api_visibility="private", **FOLLOWING)
    follow(opened, [reviewer.input, tag.input, again.click], show, asked, result, api_name="show_result", **FOLLOWING)
    export.click(write, [review, form], file, api_name="export", **QUIET)
