"""Figures as SVG: what lies where, and that nothing in them is markup."""

import math
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ui.svg_chart import svg_chart

SVG = "{http://www.w3.org/2000/svg}"


def drawn(figure: dict[str, Any]) -> ET.Element:
    return ET.fromstring(str(svg_chart(figure)))


def line(**changes: Any) -> dict[str, Any]:
    trace = {"type": "scatter", "mode": "lines", "name": "train", "line": {"color": "#123456"}}
    return {"x": [0, 5, 10], "y": [4.0, 2.0, 1.0], **trace, **changes}


def test_a_line_goes_from_left_to_right_and_lower_values_lie_lower() -> None:
    chart = drawn({"data": [line()], "layout": {"xaxis": {"title": {"text": "steps"}}}})
    [path] = chart.iter("polyline")
    points = [tuple(map(float, pair.split(","))) for pair in path.get("points", "").split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted(y for _, y in points)  # pixels grow downward
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1) and y1 - y0 == pytest.approx(2 * (y2 - y1), abs=0.2)
    texts = [element.text for element in chart.iter("text")]
    assert {"0", "2", "4", "10", "steps"} <= set(texts)


def test_a_logarithmic_axis_shows_ratios_as_distances() -> None:
    trace = line(y=[1.0, 10.0, 100.0])
    chart = drawn({"data": [trace], "layout": {"yaxis": {"type": "log"}}})
    [path] = chart.iter("polyline")
    y0, y1, y2 = (float(pair.split(",")[1]) for pair in path.get("points", "").split())
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2) and y0 > y1
    assert {"1", "10", "100"} <= {element.text for element in chart.iter("text")}


def test_named_lines_have_intervals_and_the_first_is_above() -> None:
    trace = {
        "type": "scatter", "mode": "markers", "x": [0.6, 0.4], "y": ["a against b", "a against c"],
        "error_x": {"array": [0.1, 0.2], "arrayminus": [0.2, 0.1]}, "marker": {"size": 10},
    }  # fmt: skip
    half = {"type": "line", "x0": 0.5, "x1": 0.5, "line": {"dash": "dash", "color": "#aaaaaa"}}
    axes = {"xaxis": {"range": [0, 1], "tickformat": ".0%"}, "yaxis": {"autorange": "reversed"}}
    chart = drawn({"data": [trace], "layout": {**axes, "shapes": [half], "height": 200}})
    first, second = chart.iter("circle")
    assert float(first.get("cy", "")) < float(second.get("cy", ""))
    assert float(first.get("cx", "")) > float(second.get("cx", ""))
    bars = [one for one in chart.iter("line") if one.get("stroke-width") == "2"]
    width = {
        one.get("y1"): float(one.get("x2", "")) - float(one.get("x1", "")) for one in bars[::3]
    }
    assert len(set(map(round, width.values()))) == 1  # 0.3 of the axis both
    assert {"a against b", "40%", "100%"} <= {element.text for element in chart.iter("text")}
    assert [one.get("stroke-dasharray") for one in chart.iter("line")].count("6 4") == 1


def test_what_is_shaded_lies_between_its_values_and_the_best_is_a_star() -> None:
    star = {"x": [5], "y": [2.0], "mode": "markers", "marker": {"symbol": "star", "size": 15}}
    shade = {"type": "rect", "x0": 5, "x1": 10, "fillcolor": "#ff0000", "opacity": 0.1}
    chart = drawn({"data": [line(), {**star, "name": "best"}], "layout": {"shapes": [shade]}})
    [rect], [polygon], [path] = (list(chart.iter(n)) for n in ("rect", "polygon", "polyline"))
    points = [tuple(map(float, pair.split(","))) for pair in path.get("points", "").split()]
    assert float(rect.get("x", "")) == pytest.approx(points[1][0], abs=0.1)
    assert float(rect.get("width", "")) == pytest.approx(points[2][0] - points[1][0], abs=0.2)
    corners = [tuple(map(float, one.split(","))) for one in polygon.get("points", "").split()]
    middle = [sum(one[axis] for one in corners) / 10 for axis in (0, 1)]
    assert middle == pytest.approx(points[1], abs=0.5)
    names = [element.text for element in chart.iter("text")]
    assert "train" in names and "best" in names  # the legend


def test_nothing_in_a_figure_is_markup() -> None:
    evil = '</svg><script>alert("x")</script>'
    figure = {"data": [line(name=evil), line(name=evil, text=[evil] * 3, mode="lines+text")],
              "layout": {"yaxis": {"title": {"text": evil}}}}  # fmt: skip
    text = str(svg_chart(figure))
    assert "<script" not in text and text.count("</svg>") == 1
    assert evil in [element.text for element in drawn(figure).iter("text")]


@pytest.mark.parametrize(
    "values", [[], [3.0], [2.0, 2.0], [0.0, 0.0], [-1e-12, 1e12], [math.nan, 1.0], [1.0, None]]
)
def test_whatever_the_values_are_there_is_a_chart(values: list[Any]) -> None:
    chart = drawn({"data": [line(x=list(range(len(values))), y=values)], "layout": {}})
    assert chart.get("role") == "img" and len(list(chart.iter("text"))) >= 2


def test_four_small_charts_lie_beside_and_below_each_other() -> None:
    from tests.curves import history, points
    from ui.train.loss_charts import ChartOptions, draw_small_multiples

    chart = drawn(draw_small_multiples(history(points(3, 2, 1), []), ChartOptions()))
    starts = [one.get("points", "").split()[0].split(",") for one in chart.iter("polyline")]
    columns, rows = ({round(float(start[axis]) / 100) for start in starts} for axis in (0, 1))
    assert len(starts) == 4 and len(columns) == 2 and len(rows) >= 2
