"""The map of rows and the figures of a dataset."""

import json
from pathlib import Path
from statistics import mean

import pytest

from core.datasets.check import RowLength, check_dataset
from core.datasets.dataset import Dataset, load_dataset
from core.datasets.row_map import lay_out_rows
from core.datasets.splits import SplitSettings, split_examples
from ui.data.statistics import map_figure, statistics_figures

TOPICS = ("sea ship sail harbour", "bread oven flour baker", "goal match team ball")

COUNTS = (14, 20, 26)
KINDS = [kind for kind, count in enumerate(COUNTS) for _ in range(count)]


def made(tmp_path: Path) -> Dataset:
    rows = [
        {
            "instruction": f"Tell of {topic} {topic[0]}{number} {topic[1]}{number}x {topic[0]}{number}y z{topic[2]}{number}",
            "output": f"{topic.split()[number % 4]} {number % 3}",
            "category": topic.split()[0],
        }
        for topic, count in zip(TOPICS, COUNTS, strict=True)
        for number in range(count)
    ]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    return load_dataset(path)


def test_rows_of_like_words_lie_near_each_other_and_always_at_the_same_place(
    tmp_path: Path,
) -> None:
    examples = made(tmp_path).examples
    placed = lay_out_rows(examples)
    again = lay_out_rows(examples)
    assert len(placed) == 60
    for one, other in zip(placed, again, strict=True):
        assert one[0] == other[0] and one[1:] == pytest.approx(other[1:], abs=1e-6)

    def distance(one: int, other: int) -> float:
        (_, x, y), (_, a, b) = placed[one], placed[other]
        return ((x - a) ** 2 + (y - b) ** 2) ** 0.5

    within = mean(
        distance(i, j) for i in range(0, 60, 3) for j in range(60) if KINDS[i] == KINDS[j]
    )
    across = mean(
        distance(i, j) for i in range(0, 60, 3) for j in range(60) if KINDS[i] != KINDS[j]
    )
    assert across > 4 * within


def test_too_few_rows_have_no_map(tmp_path: Path) -> None:
    dataset = made(tmp_path)
    assert lay_out_rows(dataset.examples[:3]) == []
    splits = split_examples(dataset.examples, SplitSettings())
    assert map_figure(dataset.examples[:3], splits, "split") is None


def test_the_figures_count_every_row(tmp_path: Path) -> None:
    dataset = made(tmp_path)
    splits = split_examples(dataset.examples, SplitSettings())
    lengths = [RowLength(x.row, 10 + x.row, 3) for x in dataset.examples]
    figures = statistics_figures(check_dataset(dataset, lengths, 40, ()), dataset.examples, splits)
    [bars] = figures["lengths"]["data"]
    assert sum(bars["y"]) == figures["rows"] == 60
    assert figures["lengths"]["layout"]["shapes"][0]["x0"] == 40
    counts = dict(zip(*(figures["bars"]["data"][0][name] for name in ("y", "x")), strict=True))
    assert counts["category: sea"] == 14
    assert sum(n for name, n in counts.items() if name.startswith("split: ")) == 60
    assert not any(name.startswith("turns") for name in counts)  # of all rows the same
    for by, names in (
        ("category", {"sea", "bread", "goal"}),
        ("split", {"train", "validation", "test"}),
    ):
        drawn = map_figure(dataset.examples, splits, by)
        assert drawn is not None and {trace["name"] for trace in drawn["data"]} == names
        assert sorted(row for trace in drawn["data"] for row in trace["customdata"]) == list(
            range(1, 61)
        )


def test_what_a_row_says_is_no_markup_in_a_figure(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    rows = [{"instruction": f"<b>bold</b> {n % 2} word", "output": "<img src=x>"} for n in range(9)]
    path.write_text(json.dumps(rows))
    dataset = load_dataset(path)
    drawn = map_figure(dataset.examples, split_examples(dataset.examples, SplitSettings()), "split")
    assert drawn is not None
    assert not any("<b" in text.replace("<br>", "") or "<img" in text
                   for trace in drawn["data"] for text in trace["text"])  # fmt: skip
