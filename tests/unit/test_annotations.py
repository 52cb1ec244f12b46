"""AlpacaEval's annotations brought in: what is made of them, what is refused and leaves nothing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError, ReviewError
from core.storage.workspace import Workspace
from review.cli.main import main
from review.judges.annotations import holds_annotations, import_annotations
from review.judges.store import JudgeStore
from review.store.reviews import ReviewStore


def annotations(count: int = 40) -> list[dict[str, Any]]:
    return [
        {
            "instruction": f"Do {n}.", "output_1": "plain " * (2 + n % 5), "generator_1": "base",
            "output_2": "longer words " * (1 + n % 7), "generator_2": "mine", "annotator": "gpt",
            "preference": [1.0, 2.0, 1.75, 1.5][n % 4],
        }
        for n in range(count)
    ]  # fmt: skip


def test_alpaca_eval_s_annotations_make_a_review_and_are_reported_apart(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(annotations()))
    where = ["--workspace", str(workspace.folder), "--name", "alpaca", "--json"]
    assert main(["import", *where, "--file", str(file)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["win_rate"] == pytest.approx((0 + 1 + 0.75 + 0.5) / 4)
    assert (said["contender"], said["against"], said["judge"], said["judged"]) == (
        "mine",
        "base",
        "gpt",
        40,
    )
    assert main(["import", *where, "--file", str(file)]) == 0  # again changes nothing
    capsys.readouterr()
    assert main(["report", *where]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["win_rate"] == said["win_rate"] and report["win_rate_by"] == "gpt"
    assert 0 < report["length_controlled_win_rate"] < 1
    assert report["ratings"] == 0 and report["judges"][0]["judged"] == 40


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"preference": 3}, "row 2: the preference 3 does not lie between 1 and 2"),
        ({"preference": None}, "row 2: 'preference' is missing"),
        ({"output_1": 5}, "row 2: instruction and outputs must be texts"),
    ],
)
def test_bad_annotations_are_refused_and_nothing_is_made(
    workspace: Workspace, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    rows = annotations(4)
    rows[1] |= change
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(rows))
    with pytest.raises(DataError, match=sentence):
        import_annotations(workspace, "alpaca", file)
    assert ReviewStore(workspace).all() == []
    assert list(workspace.responses.iterdir()) == []


def written(folder: Path, rows: list[dict[str, Any]], name: str = "annotations.json") -> Path:
    file = folder / name
    file.write_bytes(json.dumps(rows).encode())
    return file


def test_a_second_review_of_the_same_annotations_says_the_same(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = written(tmp_path, annotations())
    first = import_annotations(workspace, "one", file)
    second = import_annotations(workspace, "two", file)  # its responses are files of other names
    assert (second.win_rate, second.judged) == (first.win_rate, 40)
    assert second.length_controlled_win_rate == first.length_controlled_win_rate
    assert re.fullmatch(r"mine-copy-[0-9a-f]{6}", second.contender)
    again = import_annotations(workspace, "two", file)
    assert again == second


def test_models_whose_names_begin_alike_are_told_apart(
    workspace: Workspace, tmp_path: Path
) -> None:
    names = {"generator_1": "gpt4-turbo", "generator_2": "gpt4"}
    rows = [row | names | {"preference": 2.0} for row in annotations()]
    found = import_annotations(workspace, "r", written(tmp_path, rows))
    assert (found.contender, found.against, found.win_rate) == ("gpt4", "gpt4-turbo", 1.0)


def test_outputs_that_are_the_same_count_as_ties(workspace: Workspace, tmp_path: Path) -> None:
    rows = [row | {"preference": 2.0} for row in annotations()]
    for row in rows[:10]:
        row["output_2"] = row["output_1"]
    found = import_annotations(workspace, "r", written(tmp_path, rows))
    assert (found.judged, found.win_rate) == (40, pytest.approx((10 * 0.5 + 30) / 40))


def test_other_systems_line_ends_and_blanks_at_the_edges_still_fit(
    workspace: Workspace, tmp_path: Path
) -> None:
    rows = [row | {"output_1": f" one\r\ntwo {n}\n"} for n, row in enumerate(annotations())]
    assert import_annotations(workspace, "r", written(tmp_path, rows)).judged == 40


@pytest.mark.parametrize("field", ["annotator", "generator_1", "generator_2"])
def test_annotations_of_several_judges_or_pairs_are_refused_by_row(
    workspace: Workspace, tmp_path: Path, field: str
) -> None:
    rows = annotations()
    rows[2][field] = "another"
    with pytest.raises(DataError, match=f"row 3: '{field}' is another than in row 1"):
        import_annotations(workspace, "r", written(tmp_path, rows))
    assert ReviewStore(workspace).all() == []


def test_annotations_that_do_not_fit_leave_a_review_as_it_was(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import_annotations(workspace, "r", written(tmp_path, annotations()))
    rows = [row | {"annotator": "other"} for row in annotations()]
    rows[30]["output_1"] = "never said"
    with pytest.raises(ReviewError, match="row 31: the review 'r' has no such pair of answers"):
        import_annotations(workspace, "r", written(tmp_path, rows))
    store = ReviewStore(workspace)
    assert [row["model"] for row in JudgeStore(store).of_review(store.find("r")["id"])] == ["gpt"]
    assert main(["report", "--workspace", str(workspace.folder), "--name", "r"]) == 0
    assert "gpt" in capsys.readouterr().out


def test_json_lines_under_another_ending_are_no_annotations(tmp_path: Path) -> None:
    file = tmp_path / "ratings.json"
    file.write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    assert not holds_annotations(file)
