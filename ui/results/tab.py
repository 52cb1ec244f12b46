"""The Results screen: what the verdicts say, how sure that is, and the ratings as files."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import escape

from core.errors import ReviewError
from core.storage.folders import write_file
from review.behind import Behind, disputed_pairs, pairs_behind
from review.exports import export_review
from review.importing import import_ratings, imported_sentence
from review.rating import TAGS
from review.report import report_review
from review.singles import report_singles
from review.votes import Filters
from ui.components import FOLLOWING, QUIET, follow, static_files, when_opened
from ui.errors import answers_errors, shows_user_errors
from ui.results.charts import result_figures
from ui.results.report import write_result
from ui.results.singles import singles_markup
from ui.results.views import result_markup
from ui.review.views import review_choices
from ui.services import Choice, Services

EVERYBODY: Choice = ("everybody", "")
ANY_SPLIT: Choice = ("all rows", "")
ANY_CATEGORY: Choice = ("all categories", "")
ANY_TAG: Choice = ("any tag or none", "")
_FORMATS = [
    ("CSV table", "csv"),
    ("JSON lines", "jsonl"),
    ("SFT rows (corrections)", "sft"),
    ("DPO pairs", "dpo"),
    ("KTO rows", "kto"),
    ("Report to print (HTML)", "html"),
]


@dataclass(frozen=True)
class _Filters:
    """The dropdowns that choose what is counted."""

    review: gr.Dropdown
    reviewer: gr.Dropdown
    tag: gr.Dropdown
    category: gr.Dropdown
    split: gr.Dropdown


def build_results_tab(services: Services, tab: gr.Tab | None = None) -> None:
    """Lay the screen out and wire it; opening ``tab`` counts anew."""
    filters, again = _lay_out_filters()
    result = gr.HTML("<p>Counting …</p>", elem_id="result")
    charts = gr.HTML(
        json.dumps({}),
        **static_files(Path(__file__).parent, "charts"),
        server_functions=[_pairs_function(services)],
        apply_default_css=False,
        elem_id="result-charts",
    )
    with gr.Row():
        form = gr.Dropdown(_FORMATS, value="csv", label="Export as", elem_id="export-format", interactive=True)
        export = gr.Button("Export", scale=0, min_width=130, elem_id="export")
        ratings = gr.UploadButton(
            "Import ratings", file_types=[".csv", ".tsv", ".json", ".jsonl"], scale=0, min_width=160, elem_id="import-ratings"
        )
    imported = gr.HTML(elem_id="imported")
    file = gr.File(label="Exported file", interactive=False, visible=False, elem_id="exported")

    @shows_user_errors
    def show(name: str | None, person: str | None, tag: str | None, category: str | None, split: str | None) -> Any:
        if not name:
            return "<p>Make a review and judge some pairs first.</p>", json.dumps({})
        asked = Filters(person or "", tag or "", category or "", split or "")
        if services.reviews.find(name)["answers"] != "pairs":
            return singles_markup(report_singles(services.reviews, name, asked)), json.dumps({"review": name, **asdict(asked)})
        report = report_review(services.reviews, name, asked)
        return result_markup(report), json.dumps({"review": name, **asdict(asked), **result_figures(report)})

    def offer(name: str | None) -> tuple[Any, Any, Any]:
        people = services.reviews.reviewers(name) if name else []
        categories, splits = services.reviews.kinds(name) if name else ([], [])
        category = gr.Dropdown([ANY_CATEGORY, *categories], value="", visible=bool(categories))
        split = gr.Dropdown([ANY_SPLIT, *splits], value="", visible=len(splits) > 1)
        return gr.Dropdown([EVERYBODY, *people], value=""), category, split

    def refresh() -> Any:
        known = review_choices(services.reviews.all())
        latest = next((value for _, value in known), None)
        return gr.Dropdown(known, value=latest), *offer(latest)

    @shows_user_errors
    def write(name: str | None, wanted: str) -> Any:
        return gr.File(str(_write_export(services, name or "", wanted)), visible=True)

    @shows_user_errors
    def bring(name: str | None, path: str) -> str:
        return f"<p>{escape(imported_sentence(import_ratings(services.reviews, name or '', Path(path))))}</p>"

    opened = when_opened(tab, refresh, [filters.review, filters.reviewer, filters.category, filters.split], "refresh_results")
    asked, shown = [filters.review, filters.reviewer, filters.tag, filters.category, filters.split], [result, charts]
    offered = [filters.reviewer, filters.category, filters.split]
    chosen = filters.review.change(offer, filters.review, offered, api_name="offer_reviewers", api_visibility="private", **QUIET)
    chosen.then(show, asked, shown, api_name="show_other_result", api_visibility="private", **FOLLOWING)
    triggers = [filters.reviewer.input, filters.tag.input, filters.category.input, filters.split.input, again.click]
    follow(opened, triggers, show, asked, shown, api_name="show_result", **FOLLOWING)
    brought = ratings.upload(bring, [filters.review, ratings], imported, api_name="import_ratings", concurrency_limit=None)
    brought.then(show, asked, shown, api_name="show_imported", api_visibility="private", **FOLLOWING)
    export.click(write, [filters.review, form], file, api_name="export", **QUIET)


def _lay_out_filters() -> tuple[_Filters, gr.Button]:
    with gr.Row():
        review = gr.Dropdown([], label="Review", interactive=True, elem_id="result-review")
        reviewer = gr.Dropdown(
            [EVERYBODY], value="", label="Reviewer", interactive=True, elem_id="result-reviewer", min_width=130
        )
        tag = gr.Dropdown([ANY_TAG, *TAGS], value="", label="Tag", interactive=True, elem_id="result-tag", min_width=130)
        category = gr.Dropdown(
            [ANY_CATEGORY], value="", label="Category", interactive=True, elem_id="result-category", min_width=130, visible=False
        )
        split = gr.Dropdown(
            [ANY_SPLIT], value="", label="Rows", interactive=True, elem_id="result-split", min_width=130, visible=False
        )
        again = gr.Button("Count again", scale=0, min_width=130, elem_id="count-again")
    return _Filters(review, reviewer, tag, category, split), again


def _pairs_function(services: Services) -> Callable[..., Any]:
    @answers_errors
    def list_pairs(question: dict[str, Any]) -> dict[str, Any]:
        found, what = _asked_pairs(services, question)
        title = f"{what}: {found.total:,} {'pair' if found.total == 1 else 'pairs'}"
        return {"title": title, "pairs": [asdict(pair) for pair in found.pairs], "left": found.total - len(found.pairs)}

    return list_pairs


def _asked_pairs(services: Services, question: dict[str, Any]) -> tuple[Behind, str]:
    """Return the pairs that the page asks for, and what they are in words."""
    name, meeting, outcome = str(question.get("review", "")), question.get("meeting"), str(question.get("outcome", ""))
    if question.get("disputed"):
        return disputed_pairs(services.reviews, name), "Where reviewers differ, or did"
    if not isinstance(meeting, list) or len(meeting) != 2:
        raise ReviewError("Say which two contenders.")
    first, second = str(meeting[0]), str(meeting[1])
    asked = Filters(*(str(question.get(part, "")) for part in ("reviewer", "tag", "category", "split")))
    found = pairs_behind(services.reviews, name, (first, second), outcome, asked)
    better = {"first": f"{first} better", "second": f"{second} better"}
    words = {**better, "tie": "tie", "both_bad": "both bad"}.get(outcome, "all verdicts")
    return found, f"{first} against {second}, {words}"


def _write_export(services: Services, name: str, wanted: str) -> Path:
    """Write an export into the workspace and return where it is."""
    text = write_result(services.reviews, name) if wanted == "html" else export_review(services.reviews, name, wanted)
    target = services.workspace.exports / f"{name}-{wanted}.{wanted if wanted in {'csv', 'html'} else 'jsonl'}"
    write_file(target, text.encode())
    return target
