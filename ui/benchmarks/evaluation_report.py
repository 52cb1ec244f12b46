"""An evaluation as a page of its own, to print or to send: no script and no network."""

from markupsafe import Markup

from core.evaluation.report import EvaluationReport
from ui.benchmarks.charts import draw_differences, draw_scores
from ui.benchmarks.views import evaluation_view
from ui.markup import fill_template
from ui.svg_chart import svg_chart


def write_evaluation_report(report: EvaluationReport) -> Markup:
    """Return the report as HTML."""
    figures = [draw_differences(report), draw_scores(report)]
    return fill_template(
        "evaluation_report",
        title=f"Benchmarks: {report.evaluation['name']}",
        view=evaluation_view(report, None, None),
        charts=[svg_chart(figure) for figure in figures if figure],
    )
