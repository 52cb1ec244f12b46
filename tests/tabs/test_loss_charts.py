"""Figures of losses: what they mark, and what they say in words."""

from dataclasses import replace

import pytest

from tests.curves import history, points
from ui.train.loss_charts import (
    ChartOptions,
    draw_curves,
    draw_small_multiples,
    read_chart_options,
    smooth,
    training_warning,
)
from ui.train.metrics_cache import History


def test_curves_mark_the_best_and_shade_what_overfits() -> None:
    train = points(*[3 - 0.02 * i for i in range(100)])
    figure = draw_curves(history(train, points(3, 2, 1.5, 1.7, 1.9, every=20), 3.0), ChartOptions())
    best = next(trace for trace in figure["data"] if trace["name"] == "best")
    assert (best["x"], best["y"]) == ([40], [1.5])
    assert (figure["layout"]["shapes"][0]["x0"], figure["layout"]["shapes"][0]["x1"]) == (40, 80)
    assert "template" not in figure["layout"]


def test_figures_are_what_plotly_takes() -> None:
    import plotly.graph_objects as go

    run = history(
        points(*[3 - 0.02 * i for i in range(100)]), points(3, 2, 1.5, 1.7, 1.9, every=20), 3.0
    )
    for figure in (
        draw_curves(run, ChartOptions("tokens", log=True), [run]),
        draw_small_multiples(run, ChartOptions()),
    ):
        assert len(go.Figure(figure).data) == len(figure["data"])  # raises for anything unknown


def test_curves_are_drawn_across_epochs_and_tokens_on_either_scale() -> None:
    run = history(points(3, 2, 1, 1, 1), points(3, 2, 1.5, every=2), 3.0)
    for axis, last in (("steps", 4), ("epochs", 0.4), ("tokens", 400)):
        figure = draw_curves(run, ChartOptions(axis, 0.5, log=True))
        traces = {trace["name"]: trace for trace in figure["data"]}
        assert traces["train"]["x"][-1] == traces["validation"]["x"][-1] == pytest.approx(last)
        assert (
            figure["layout"]["yaxis"]["type"] == "log"
            and figure["layout"]["xaxis"]["title"]["text"] == axis
        )
    assert traces["train, smoothed"]["y"][1] == pytest.approx((0.5 * 3 + 2) / 1.5)


def test_other_runs_are_laid_over_with_names_and_fewer_points() -> None:
    other = history(points(*[2.0] * 5000), points(2, 1, every=2000), name="other")
    names = [
        trace["name"]
        for trace in draw_curves(history(points(3, 2), []), ChartOptions(), [other])["data"]
    ]
    assert names[-2:] == ["other: train", "other: validation"]
    figure = draw_curves(history([], []), ChartOptions(), [other])
    assert max(len(trace["x"]) for trace in figure["data"]) <= 301


def test_a_page_that_asks_for_nonsense_gets_the_usual_look() -> None:
    assert read_chart_options({"axis": "hours", "smoothing": 7, "log": "yes"}) == ChartOptions()
    assert read_chart_options({"axis": "tokens", "smoothing": 0, "log": True}) == ChartOptions(
        "tokens", 0.0, log=True
    )


def test_small_charts_show_what_else_was_noted() -> None:
    details = draw_small_multiples(history(points(*[3.0] * 2000), []), ChartOptions())
    assert [trace["name"] for trace in details["data"]] == [
        "learning rate", "gradient norm", "tokens/s", "memory, MiB",
    ]  # fmt: skip
    assert all(len(trace["x"]) <= 301 and trace["x"][-1] == 1999 for trace in details["data"])


def test_overfitting_is_said_in_words_only_when_it_is_so() -> None:
    train = points(*[3 - 0.02 * i for i in range(100)])
    rising = points(3, 2, 1.5, 1.7, 1.9, every=20)
    going, ended = (
        training_warning(history(train, rising), goes_on=goes_on) for goes_on in (True, False)
    )
    assert "has risen 2 times in a row since step 40" in going and going.endswith(
        "stopping now loses nothing."
    )
    assert ended.endswith("The best model is kept.")  # there is nothing left to stop
    assert (
        training_warning(history(train, points(3, 2, 1.5, 1.4, 1.9, every=20)), goes_on=True) == ""
    )
    diverging = history(points(*[1 + 0.02 * i for i in range(100)]), rising)
    assert training_warning(diverging, goes_on=True) == ""
    assert training_warning(history([], []), goes_on=True) == ""
    assert draw_curves(history(train, rising), ChartOptions())["layout"]["shapes"]
    assert not draw_curves(diverging, ChartOptions())["layout"]["shapes"]


def test_a_run_that_is_worse_than_its_base_model_is_told_of() -> None:
    worse = History(
        "r", base_loss=1.4, train=points(5, 6, 7), validation=points(1.4, 2, 1.5, every=20)
    )
    assert training_warning(worse, goes_on=False).startswith(
        "No evaluation is better than the base model: 1.5000 at best, 1.4000 before."
    )
    assert training_warning(worse, goes_on=True).startswith("So far no evaluation")
    assert training_warning(replace(worse, base_loss=1.6), goes_on=False) == ""


def test_a_long_run_sends_a_bounded_number_of_points() -> None:
    figure = draw_curves(history(points(*[1.0] * 25_000), []), ChartOptions())
    assert len(figure["data"][0]["x"]) <= 1001
    assert figure["data"][0]["x"][-1] == 24_999


def test_smoothing_starts_at_the_first_value() -> None:
    assert smooth([2.0, 2.0, 2.0], 0.9) == pytest.approx([2.0, 2.0, 2.0])
