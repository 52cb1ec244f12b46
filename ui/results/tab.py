"""The Results screen: what the verdicts say, how sure that is, and the ratings as files."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from core.datasets.readers.read_file import FILE_ENDINGS
from core.errors import ReviewError
from core.evaluation.report import sentences_about
from core.storage.atomic_write import write_file
from core.storage.workspace import free_name
from review.domain.rating import TAGS
from review.exchange.formats import EXPORT_FORMATS
from review.exchange.import_ratings import import_ratings, imported_sentence
from review.judges.annotations import holds_annotations, holds_pairs_of, import_annotations
from review.judges.disagreements import judged_otherwise
from review.judges.export import export_any
from review.results.drilldown import Drilldown, disputed_pairs, drill_down
from review.results.report import report_review
from review.results.single_responses import report_singles
from review.store.verdicts import Filters
from ui.error_messages import answers_errors, shows_user_errors, text, whole_number
from ui.gate import signed_in_user
from ui.gradio_events import FOLLOWING, QUIET, follow, static_files, when_opened
from ui.markup import paragraph
from ui.results.charts import result_figures
from ui.results.judges import lay_out_judges, wire_judges
from ui.results.review_report import write_result
from ui.results.views import pairs_markup, singles_markup
from ui.services import Choice, Services
from ui.uploads import taken

EVERYBODY: Choice = ("everybody", "")
ANY_SPLIT: Choice = ("all rows", "")
ANY_CATEGORY: Choice = ("all categories", "")
ANY_TAG: Choice = ("any tag or none", "")
_REPORT = "html"
_FORMATS = [
    *((one.title, name) for name, one in EXPORT_FORMATS.items()),
    ("Report to print (HTML)", _REPORT),
]


@dataclass(frozen=True)
class _Filters:
    """The dropdowns that choose what is counted."""

    review: gr.Dropdown
    reviewer: gr.Dropdown
    tag: gr.Dropdown
    category: gr.Dropdown
    split: gr.Dropdown


@dataclass(frozen=True)
class _Files:
    """What takes ratings away and brings them."""

    form: gr.Dropdown
    export: gr.Button
    ratings: gr.UploadButton
    shared: gr.Checkbox
    imported: gr.HTML
    file: gr.File


def build_results_tab(services: Services, tab: gr.Tab | None = None) -> None:
    """Lay the screen out and wire it; opening ``tab`` counts anew."""
    filters, again = _lay_out_filters()
    result = gr.HTML(paragraph("Counting …"), elem_id="result")
    charts = gr.HTML(
        json.dumps({}),
        **static_files(Path(__file__).parent, "charts"),
        server_functions=[_pairs_function(services)],
        apply_default_css=False,
        elem_id="result-charts",
    )
    judges, files, handlers = lay_out_judges(services), _lay_out_files(), _Handlers(services)
    offered = [filters.reviewer, filters.category, filters.split, files.shared]
    opened = when_opened(tab, handlers.refresh, [filters.review, *offered], "refresh_results")
    wire_judges(judges, services, filters.review, opened)
    asked, shown = (
        [filters.review, filters.reviewer, filters.tag, filters.category, filters.split],
        [result, charts],
    )
    private: dict[str, Any] = {"api_visibility": "private"}
    chosen = filters.review.change(
        handlers.offer, filters.review, offered, api_name="offer_reviewers", **private, **QUIET
    )
    chosen.then(handlers.show, asked, shown, api_name="show_other_result", **private, **FOLLOWING)
    triggers = [
        filters.reviewer.input,
        filters.tag.input,
        filters.category.input,
        filters.split.input,
        again.click,
    ]
    follow(opened, triggers, handlers.show, asked, shown, api_name="show_result", **FOLLOWING)
    given = [filters.review, files.ratings]
    brought = files.ratings.upload(
        handlers.bring,
        given,
        [filters.review, files.imported],
        api_name="import_ratings",
        concurrency_limit=None,
    )
    brought.then(handlers.show, asked, shown, api_name="show_imported", **private, **FOLLOWING)
    files.shared.input(
        handlers.share, [filters.review, files.shared], None, api_name="share_result", **QUIET
    )
    files.export.click(
        handlers.write, [filters.review, files.form], files.file, api_name="export", **QUIET
    )


class _Handlers:
    """What the screen's events do."""

    def __init__(self, services: Services) -> None:
        self.services = services

    @shows_user_errors
    def show(
        self,
        name: str | None,
        person: str | None,
        tag: str | None,
        category: str | None,
        split: str | None,
    ) -> Any:
        if not name:
            return paragraph("Make a review and judge some pairs first."), json.dumps({})
        asked, reviews = (
            Filters(person or "", tag or "", category or "", split or ""),
            self.services.reviews,
        )
        if reviews.find(name)["response_mode"] != "pairs":
            return singles_markup(report_singles(reviews, name, asked)), json.dumps(
                {"review": name, **asdict(asked)}
            )
        report = report_review(reviews, name, asked)
        names = {one.name for one in reviews.contenders(reviews.find(name)["id"])}
        benchmarks = sentences_about(self.services.evaluations, names)
        return pairs_markup(report, benchmarks), json.dumps(
            {"review": name, **asdict(asked), **result_figures(report)}
        )

    def offer(self, name: str | None) -> tuple[Any, Any, Any, Any]:
        reviews = self.services.reviews
        people = reviews.reviewers(name) if name else []
        categories, splits = reviews.kinds(name) if name else ([], [])
        category = gr.Dropdown([ANY_CATEGORY, *categories], value="", visible=bool(categories))
        split = gr.Dropdown([ANY_SPLIT, *splits], value="", visible=len(splits) > 1)
        shares = gr.Checkbox(bool(reviews.find(name)["shared"]) if name else False)
        return gr.Dropdown([EVERYBODY, *people], value=""), category, split, shares

    def refresh(self) -> Any:
        known = self.services.review_choices()
        latest = next((value for _, value in known), None)
        return gr.Dropdown(known, value=latest), *self.offer(latest)

    @shows_user_errors
    def write(self, name: str | None, wanted: str) -> Any:
        return gr.File(str(_write_export(self.services, name or "", wanted)), visible=True)

    @shows_user_errors
    def bring(self, name: str | None, path: str) -> tuple[Any, str]:
        with taken(path, self.services.workspace) as file:
            if holds_annotations(file):
                return self._bring_annotations(name, file)
            found = import_ratings(self.services.reviews, name or "", file)
            return gr.Dropdown(), paragraph(imported_sentence(found))

    def _bring_annotations(self, name: str | None, file: Path) -> tuple[Any, str]:
        """Bring graded verdicts into the review that is chosen, or else into one made of them."""
        workspace, known = self.services.workspace, self.services.reviews.all()
        fits = name and holds_pairs_of(self.services.reviews, name, file)
        target = name if name and fits else free_name("annotations", (row["name"] for row in known))
        found = import_annotations(workspace, target, file)
        said = f"{found.judged:,} graded verdicts by {found.judge} are in the review {target}."
        return gr.Dropdown(self.services.review_choices(), value=target), paragraph(said)

    @shows_user_errors
    def share(self, name: str | None, wanted: bool) -> None:  # noqa: FBT001 - Gradio hands a checkbox over by position
        if name:
            self.services.reviews.share(name, shared=wanted)


def _lay_out_files() -> _Files:
    with gr.Row():
        form = gr.Dropdown(
            _FORMATS, value="csv", label="Export as", elem_id="export-format", interactive=True
        )
        export = gr.Button("Export", scale=0, min_width=130, elem_id="export")
        ratings = gr.UploadButton(
            "Import ratings",
            file_types=[*FILE_ENDINGS, ".gz"],
            scale=0,
            min_width=160,
            elem_id="import-ratings",
        )
        shared = gr.Checkbox(
            label="Reviewers may see this result",
            info="those who sign in, on their page",
            interactive=True,
            elem_id="shared",
        )
    imported = gr.HTML(elem_id="imported")
    file = gr.File(label="Exported file", interactive=False, visible=False, elem_id="exported")
    return _Files(form, export, ratings, shared, imported, file)


def _lay_out_filters() -> tuple[_Filters, gr.Button]:
    with gr.Row():
        review = gr.Dropdown([], label="Review", interactive=True, elem_id="result-review")
        reviewer = _menu([EVERYBODY], "Reviewer", "result-reviewer")
        tag = _menu([ANY_TAG, *TAGS], "Tag", "result-tag")
        category = _menu([ANY_CATEGORY], "Category", "result-category", visible=False)
        split = _menu([ANY_SPLIT], "Rows", "result-split", visible=False)
        again = gr.Button("Count again", scale=0, min_width=130, elem_id="count-again")
    return _Filters(review, reviewer, tag, category, split), again


def _menu(
    choices: list[Choice | str], label: str, elem_id: str, *, visible: bool = True
) -> gr.Dropdown:
    """Return a menu that filters nothing until somebody chooses."""
    return gr.Dropdown(
        choices,
        value="",
        label=label,
        interactive=True,
        elem_id=elem_id,
        min_width=130,
        visible=visible,
    )


def _pairs_function(services: Services) -> Callable[..., Any]:
    @answers_errors
    def list_pairs(question: dict[str, Any], request: gr.Request | None = None) -> dict[str, Any]:
        found, what = _asked_pairs(services, question, signed_in_user(request) or "")
        title = f"{what}: {found.total:,} {'pair' if found.total == 1 else 'pairs'}"
        if found.hidden:
            title += f" ({found.hidden:,} that you have not judged yet are left out)"
        return {
            "title": title,
            "pairs": [asdict(pair) for pair in found.pairs],
            "left": found.total - len(found.pairs),
        }

    return list_pairs


def _asked_pairs(
    services: Services, question: dict[str, Any], person: str
) -> tuple[Drilldown, str]:
    """Return the pairs that the page of a user asks for, and what they are in words."""
    name, meeting, outcome = (
        text(question, "review"),
        question.get("meeting"),
        text(question, "outcome"),
    )
    if question.get("judge") is not None:
        found = judged_otherwise(services.reviews, name, whole_number(question, "judge"), person)
        return found, "Where people and the judge name different winners"
    if question.get("disputed"):
        return disputed_pairs(services.reviews, name, person), "Where reviewers differ, or did"
    if not isinstance(meeting, list) or len(meeting) != 2:
        raise ReviewError("Say which two contenders.")
    first, second = str(meeting[0]), str(meeting[1])
    asked = Filters(*(text(question, part) for part in ("reviewer", "tag", "category", "split")))
    found = drill_down(services.reviews, name, (first, second), outcome, asked, person)
    better = {"first": f"{first} better", "second": f"{second} better"}
    words = {**better, "tie": "tie", "both_bad": "both bad"}.get(outcome, "all verdicts")
    return found, f"{first} against {second}, {words}"


def _write_export(services: Services, name: str, wanted: str) -> Path:
    """Write an export into the workspace and return where it is."""
    reviews = services.reviews
    if wanted == _REPORT:
        content, ending = str(write_result(reviews, name)), _REPORT
    else:
        content, ending = export_any(reviews, name, wanted), EXPORT_FORMATS[wanted].ending
    target = services.workspace.exports / f"{name}-{wanted}.{ending}"
    write_file(target, content.encode())
    return target
