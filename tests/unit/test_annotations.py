"""AlpacaEval's annotations brought in: what is made of them, what is refused and leaves nothing."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import DataError, ReviewError
from core.storage.workspace import Workspace
from review.cli.main import main
from review.judges.annotations import holds_annotations, holds_pairs_of, import_annotations
from review.judges.store import JudgeStore
from review.statistics.alpaca_length_control import Difficulties, length_controlled_win_rate
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
        ({"output_1": None}, "row 2: 'output_1' is missing"),
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


def test_a_draw_of_older_files_and_a_judge_s_silence_are_read(
    workspace: Workspace, tmp_path: Path
) -> None:
    rows = annotations(4)  # 1, 2, 1.75, 1.5
    rows[0]["preference"], rows[1]["preference"] = 0, None
    found = import_annotations(workspace, "r", written(tmp_path, rows))
    assert found.judged == 3 and found.win_rate == pytest.approx((0.5 + 0.75 + 0.5) / 3)


def difficulties(folder: Path, count: int) -> Path:
    """A file as AlpacaEval's, of made numbers."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(size=count)
    lines = ["model,preference,index,std_delta_len,instruction_difficulty,not_gamed_baseline"]
    for model, shift in (("concise", -1), ("verbose", 1)):
        for n in range(count):
            length = rng.normal() + shift
            preference = 1 / (1 + np.exp(0.6 * np.tanh(length)))
            lines.append(f"{model},{preference:.4f},{n},{length},{difficulty[n]},False")
    file = folder / "df_gamed.csv"
    file.write_text("\n".join(lines))
    return file


def test_alpaca_eval_s_own_length_controlled_win_rate() -> None:
    """What its glm_winrate.py says of the same numbers, run on 2026-11-30 with scikit-learn 1.9.1."""
    rng = np.random.default_rng(0)
    count = 300
    difficulty = rng.normal(size=count)
    rows = []
    for shift in (-1, 1):
        for n in range(count):
            length = rng.normal() + shift
            preference = round(float(1 / (1 + np.exp(-(0.6 * np.tanh(-length))))), 4)
            rows.append((preference, length, difficulty[n], 0.0))
    odds = 0.8 + 0.7 * difficulty + rng.normal(size=count)
    said: list[float | None] = [float(1 / (1 + np.exp(-one))) for one in odds]
    lengths = list(
        zip(
            rng.integers(10, 500, count).tolist(),
            rng.integers(10, 900, count).tolist(),
            strict=True,
        )
    )
    said[3], said[5] = None, 0.5
    found = length_controlled_win_rate(said, lengths, Difficulties(difficulty, np.array(rows)))
    assert found == pytest.approx(0.6191870150726398, abs=1e-6)


def test_annotations_with_difficulties_keep_alpaca_eval_s_figure(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, of = written(tmp_path, annotations()), difficulties(tmp_path, 40)
    plain = import_annotations(workspace, "r", file)
    assert plain.length_controlled_by == "a prior on the effect of length"
    exact = import_annotations(workspace, "r", file, of)  # the same verdicts, another figure
    assert exact.length_controlled_by == "AlpacaEval's formula"
    assert exact.length_controlled_win_rate != plain.length_controlled_win_rate
    assert exact.win_rate == plain.win_rate
    where = ["--workspace", str(workspace.folder), "--name", "r"]
    assert main(["report", *where]) == 0
    assert "at equal lengths by AlpacaEval's formula" in capsys.readouterr().out
    short = tmp_path / "instruction_difficulty.csv"
    short.write_text(",instruction_difficulty\n" + "".join(f"{n},{n / 40}\n" for n in range(40)))
    assert import_annotations(workspace, "r", file, short).length_controlled_win_rate is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b,c\n1,2,3\n", "has no column 'instruction_difficulty'"), ("", "has no column"),
        (",instruction_difficulty\n0,hard\n", "line 2: 'instruction_difficulty' is no number"),
        (",instruction_difficulty\n" + "0,1\n" * 3, "40 annotations and difficulties of 3"),
        ("preference,index,std_delta_len,instruction_difficulty,not_gamed_baseline\n1,0,1,1,maybe\n",
         "line 2: not_gamed_baseline is neither"),
    ],
)  # fmt: skip
def test_a_bad_file_of_difficulties_leaves_nothing(
    workspace: Workspace, tmp_path: Path, text: str, said: str
) -> None:
    of = tmp_path / "df_gamed.csv"
    of.write_text(text)
    with pytest.raises(DataError, match=said):
        import_annotations(workspace, "r", written(tmp_path, annotations()), of)
    assert ReviewStore(workspace).all() == []


def test_annotations_go_out_as_they_came_in(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = annotations()
    import_annotations(workspace, "r", written(tmp_path, rows))
    out, where = tmp_path / "out.json", ["--workspace", str(workspace.folder), "--name", "r"]
    assert main(["export", *where, "--as", "annotations", "--out", str(out)]) == 0
    kept = ("instruction", "generator_1", "generator_2", "annotator", "preference")
    written_out = json.loads(out.read_text())
    assert sorted([[row[k] for k in kept] for row in written_out]) == sorted(
        [[row[k] for k in kept] for row in rows]
    )
    assert import_annotations(workspace, "again", out).win_rate == pytest.approx(
        (0 + 1 + 0.75 + 0.5) / 4
    )
    assert main(["export", *where, "--as", "outputs", "--of", "mine", "--out", str(out)]) == 0
    outputs = json.loads(out.read_text())
    assert len(outputs) == 40 and {row["generator"] for row in outputs} == {"mine"}
    assert main(["export", *where, "--as", "judgements", "--out", str(out)]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 40 and {line["judge"] for line in lines} == {"gpt"}
    capsys.readouterr()
    for form, of, said in (
        ("annotations", "nobody", "has no judge 'nobody'"), ("outputs", "x", "has no contender 'x'"),
    ):  # fmt: skip
        assert main(["export", *where, "--as", form, "--of", of, "--out", str(out)]) == 2
        assert said in capsys.readouterr().err
    assert main(["export", *where, "--as", "csv", "--out", str(out)]) == 0
    assert "gpt" not in out.read_text()  # no judgement among people's ratings


def test_a_file_without_any_preference_makes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    rows = [row | {"preference": None} for row in annotations(4)]
    with pytest.raises(DataError, match="holds no preference"):
        import_annotations(workspace, "r", written(tmp_path, rows))
    assert ReviewStore(workspace).all() == []


def test_a_file_that_is_brought_in_again_stands_for_itself_alone(
    workspace: Workspace, tmp_path: Path
) -> None:
    rows = annotations(8)
    import_annotations(workspace, "r", written(tmp_path, rows))
    fewer = [row | {"preference": 2.0} for row in rows[:4]]
    found = import_annotations(workspace, "r", written(tmp_path, fewer))
    assert (found.judged, found.win_rate) == (4, 1.0)
    assert holds_pairs_of(ReviewStore(workspace), "r", written(tmp_path, rows))
    same = [{**rows[0], "output_2": rows[0]["output_1"]}, *rows[1:]]
    assert holds_pairs_of(ReviewStore(workspace), "r", written(tmp_path, same))
