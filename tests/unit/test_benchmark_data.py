"""Data of benchmarks in the shapes that their authors publish, and what is said of bad ones."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import DataError
from core.evaluation.layouts.find import find_splits
from core.evaluation.layouts.folder import DataFolder

QUESTION = "Why, for sky, is it blue?"


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(folder: Path, dataset: str, config: str = "") -> dict[str, list[dict[str, Any]]]:
    splits = find_splits(DataFolder(folder), dataset, config)
    return {name: rows() for name, rows in splits.items()}


@pytest.mark.parametrize(
    "text",
    [
        '"Why, ""blue""?",w,x,"y, z",q,C\nNext?,1,2,3,4,A\n',
        'question,choice0,choice1,choice2,choice3,answer\n"Why, ""blue""?",w,x,"y, z",q,2\nNext?,1,2,3,4,0\n',
    ],
)
def test_mmlu_is_read_with_and_without_a_line_of_names(tmp_path: Path, text: str) -> None:
    put(tmp_path, "data/test/anatomy_test.csv", text)
    put(tmp_path, "data/dev/anatomy_dev.csv", text)
    found = read(tmp_path, "cais/mmlu", "anatomy")
    assert set(found) == {"test", "dev"}
    assert found["test"] == [
        {"question": 'Why, "blue"?', "subject": "anatomy", "choices": ["w", "x", "y, z", "q"], "answer": 2},
        {"question": "Next?", "subject": "anatomy", "choices": ["1", "2", "3", "4"], "answer": 0},
    ]  # fmt: skip


GLUE: list[tuple[str, str, str, dict[str, Any]]] = [
    ("cola", "CoLA/dev.tsv", 'gj04\t0\t*\tHe "said.\n', {"sentence": 'He "said.', "label": 0, "idx": 0}),
    ("sst2", "SST-2/dev.tsv", "sentence\tlabel\nfine \t1\n", {"sentence": "fine ", "label": 1, "idx": 0}),
    (
        "mrpc", "MRPC/dev.tsv", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t2\t3\ta\tb\n",
        {"sentence1": "a", "sentence2": "b", "label": 1, "idx": 0},
    ),
    (
        "stsb", "STS-B/dev.tsv",
        "index\tgenre\tsentence1\tsentence2\tscore\n0\tg\ta\tb\t2.400\n",
        {"sentence1": "a", "sentence2": "b", "label": 2.4, "idx": 0},
    ),
    (
        "rte", "RTE/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tnot_entailment\n",
        {"sentence1": "a", "sentence2": "b", "label": 1, "idx": 0},
    ),
    (
        "qqp", "QQP/dev.tsv", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\ta\tb\t0\n",
        {"question1": "a", "question2": "b", "label": 0, "idx": 0},
    ),
    ("mrpc", "mrpc_dev.csv", "label,sentence1,sentence2\nequivalent,a,b\n",
     {"sentence1": "a", "sentence2": "b", "label": 1, "idx": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("config", "name", "text", "row"), GLUE)
def test_glue_is_read_from_its_tables(
    tmp_path: Path, config: str, name: str, text: str, row: dict[str, Any]
) -> None:
    put(tmp_path, name, text)
    assert read(tmp_path, "nyu-mll/glue", config) == {"validation": [row]}


def test_mnli_has_two_validation_splits(tmp_path: Path) -> None:
    head = "index\tsentence1\tsentence2\tgold_label\n"
    put(tmp_path, "MNLI/dev_matched.tsv", f"{head}0\ta\tb\tneutral\n")
    put(tmp_path, "MNLI/dev_mismatched.tsv", f"{head}0\tc\td\tcontradiction\n")
    found = read(tmp_path, "nyu-mll/glue", "mnli")
    assert found["validation_matched"][0]["label"] == 1
    assert found["validation_mismatched"][0] == {
        "premise": "c",
        "hypothesis": "d",
        "label": 2,
        "idx": 0,
    }


PASSAGE = {
    "text": "Rollo and Emma\n@highlight\nNormans",
    "entities": [{"start": 10, "end": 13}, {"start": 0, "end": 4}],
}
SUPER_GLUE: list[tuple[str, str, dict[str, Any], list[dict[str, Any]]]] = [
    ("boolq", "BoolQ", {"question": "q", "passage": "p", "idx": 3, "label": True},
     [{"question": "q", "passage": "p", "idx": 3, "label": 1}]),
    ("cb", "CB", {"premise": "p", "hypothesis": "h", "label": "contradiction", "idx": 0},
     [{"premise": "p", "hypothesis": "h", "idx": 0, "label": 1}]),
    ("wsc.fixed", "WSC",
     {"text": "t", "target": {"span1_index": 1, "span2_index": 2, "span1_text": "a", "span2_text": "b"}, "idx": 0, "label": "false"},
     [{"text": "t", "span1_index": 1, "span2_index": 2, "span1_text": "a", "span2_text": "b", "idx": 0, "label": 0}]),
    ("multirc", "MultiRC",
     {"idx": 6, "passage": {"text": "p", "questions": [{"question": "q", "idx": 9, "answers": [{"text": "a", "idx": 1, "label": 0}, {"text": "b", "idx": 2, "label": 1}]}]}},
     [{"paragraph": "p", "question": "q", "answer": "a", "idx": {"paragraph": 6, "question": 9, "answer": 1}, "label": 0},
      {"paragraph": "p", "question": "q", "answer": "b", "idx": {"paragraph": 6, "question": 9, "answer": 2}, "label": 1}]),
    ("record", "ReCoRD",
     {"idx": 4, "passage": PASSAGE, "qas": [{"query": "@placeholder won", "idx": 5, "answers": [{"text": "Emma"}, {"text": "Emma"}]}]},
     [{"passage": PASSAGE["text"], "query": "@placeholder won", "entities": ["Rollo", "Emma"], "answers": ["Emma"], "idx": {"passage": 4, "query": 5}}]),
]  # fmt: skip


@pytest.mark.parametrize("name", ["{}/val.jsonl", "{}.val.jsonl"])
@pytest.mark.parametrize(("config", "folder", "row", "rows"), SUPER_GLUE)
def test_super_glue_is_read_from_its_lines(
    tmp_path: Path, name: str, config: str, folder: str, row: dict[str, Any], rows: list[Any]
) -> None:
    put(tmp_path, name.format(folder), lines(row))
    assert read(tmp_path, "aps/super_glue", config) == {"validation": rows}


def test_big_bench_asks_as_its_authors_do(tmp_path: Path) -> None:
    task = {
        "task_prefix": "Choose.",
        "append_choices_to_input": True,
        "examples": [{"input": "1 + 1", "target_scores": {"3": 0, "2": 1}}, {"input": "a", "target": ["b", "c"]}],
    }  # fmt: skip
    put(tmp_path, "big-bench/sums.json", json.dumps(task))
    [chosen, written] = read(tmp_path, "hails/bigbench", "sums_zero_shot")["default"]
    assert chosen == {
        "idx": 0, "inputs": "Choose.\nQ: 1 + 1\n  choice: 3\n  choice: 2\nA:", "targets": ["2"],
        "multiple_choice_targets": ["3", "2"], "multiple_choice_scores": [0, 1],
    }  # fmt: skip
    assert (written["inputs"], written["targets"]) == ("Choose.\nQ: a\nA:", ["b", "c"])


def test_reading_comprehension_and_trivia(tmp_path: Path) -> None:
    squad = {
        "data": [
            {
                "title": "T",
                "paragraphs": [
                    {"context": "C", "qas": [{"id": "1", "question": "Q", "answers": []}]}
                ],
            }
        ]
    }
    put(tmp_path, "squad/dev-v2.0.json", json.dumps(squad))
    [row] = read(tmp_path, "lighteval/squad_v2")["validation"]
    assert row == {
        "id": "1",
        "title": "T",
        "context": "C",
        "question": "Q",
        "answers": {"text": [], "answer_start": []},
    }
    answer = {"Aliases": ["A", "B"], "NormalizedAliases": ["a", "b"], "Value": "A"}
    put(
        tmp_path,
        "web-dev.json",
        json.dumps({"Data": [{"Question": "Q", "QuestionId": "1", "Answer": answer}]}),
    )
    [row] = read(tmp_path, "mandarjoshi/trivia_qa", "rc.nocontext")["validation"]
    assert row["answer"]["aliases"] == ["A", "B"]


def test_arc_piqa_and_human_eval(tmp_path: Path) -> None:
    arc = {
        "id": "x",
        "question": {
            "stem": "S",
            "choices": [{"text": "t", "label": "A"}, {"text": "u", "label": "B"}],
        },
        "answerKey": "B",
    }
    put(tmp_path, "ARC-Easy/ARC-Easy-Test.jsonl", lines(arc))
    [row] = read(tmp_path, "allenai/ai2_arc", "ARC-Easy")["test"]
    assert row["choices"] == {"text": ["t", "u"], "label": ["A", "B"]}
    put(tmp_path, "piqa/valid.jsonl", lines({"goal": "g", "sol1": "a", "sol2": "b"}))
    put(tmp_path, "piqa/valid-labels.lst", "1\n")
    assert read(tmp_path, "baber/piqa")["validation"] == [
        {"goal": "g", "sol1": "a", "sol2": "b", "label": 1}
    ]
    row = dict.fromkeys(["task_id", "prompt", "canonical_solution", "test", "entry_point"], "x")
    put(tmp_path, "HumanEval.jsonl.gz", gzip.compress(lines(row).encode()))
    assert read(tmp_path, "openai/openai_humaneval") == {"test": [row]}


def test_the_hub_s_own_layout_goes_first(tmp_path: Path) -> None:
    rows = [{"question": "q", "subject": "anatomy", "choices": list("abcd"), "answer": 1}]
    folder = tmp_path / "datasets--cais--mmlu" / "snapshots" / "abc" / "anatomy"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "test-00000-of-00002.parquet")
    pq.write_table(pa.Table.from_pylist(rows), folder / "test-00001-of-00002.parquet")
    put(tmp_path, "mmlu/astronomy/dev.jsonl", lines(*rows))
    assert read(tmp_path, "cais/mmlu", "anatomy") == {"test": rows * 2}
    assert read(tmp_path, "cais/mmlu", "astronomy") == {"dev": rows}


def _mmlu(text: str) -> Callable[[Path], tuple[str, str]]:
    def make(folder: Path) -> tuple[str, str]:
        put(folder, "test/anatomy_test.csv", text)
        return "cais/mmlu", "anatomy"

    return make


def _file(
    name: str, text: str | bytes, dataset: str, config: str = ""
) -> Callable[[Path], tuple[str, str]]:
    def make(folder: Path) -> tuple[str, str]:
        put(folder, name, text)
        return dataset, config

    return make


BAD: list[tuple[Callable[[Path], tuple[str, str]], str]] = [
    (_mmlu("Q,a,b,c,d,A\nQ,a,b,c,d,E\n"), "line 2: the answer 'E' is none of A, B, C and D"),
    (_mmlu("Q;a;b;c;d;A\n"), "line 1: 1 fields, separated by commas"),
    (_mmlu("A,Q,a,b,c,d\n"), "are the columns exchanged"),
    (_mmlu("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "Git LFS pointer"),
    (_mmlu(""), "is empty"),
    (_file("test/anatomy_test.csv", b"\xff\xfe\x00", "cais/mmlu", "anatomy"), "no UTF-8 text"),
    (_file("CB/val.jsonl", '{"premise": "p"}\n', "aps/super_glue", "cb"), "line 1: 'hypothesis' is missing"),
    (_file("CB/val.jsonl", '{"premise": "p", "hypo', "aps/super_glue", "cb"), "line 1: the JSON is broken or cut off"),
    (
        _file("CB/val.jsonl", lines({"premise": "p", "hypothesis": "h", "idx": 0, "label": "maybe"}), "aps/super_glue", "cb"),
        "line 1: 'maybe' is no label; there are entailment, contradiction, neutral",
    ),
    (_file("CoLA/dev.tsv", "a,1,,b\n", "nyu-mll/glue", "cola"), "line 1: 1 fields, separated by tabs"),
    (_file("RTE/dev.tsv", "index\tsentence2\tlabel\n", "nyu-mll/glue", "rte"), "there is no column 'sentence1'"),
    (_file("dev-v2.0.json", '{"data": [', "lighteval/squad_v2"), "the JSON is broken or cut off"),
    (_file("dev-v2.0.json", '{"data": [{"title": "T"}]}', "lighteval/squad_v2"), "'paragraphs' is missing"),
    (_file("HumanEval.jsonl.gz", b"\x1f\x8b\x08\x00cut", "openai/openai_humaneval"), "cannot be read"),
    (_file("mmlu/anatomy/test.parquet", b"PAR1", "cais/mmlu", "anatomy"), "damaged or no Parquet"),
    (_file("README.md", "nothing", "cais/mmlu", "anatomy"), r"holds no data of cais/mmlu \(anatomy\)"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "sentence"), BAD)
def test_bad_data_get_one_sentence_with_file_and_line(
    tmp_path: Path, make: Callable[[Path], tuple[str, str]], sentence: str
) -> None:
    dataset, config = make(tmp_path)
    with pytest.raises(DataError, match=sentence) as told:
        read(tmp_path, dataset, config)
    assert "\n" not in str(told.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        DataFolder(tmp_path / "away")


def test_both_parts_of_trivia_qa_are_asked(tmp_path: Path) -> None:
    answer = {"Aliases": ["A"], "NormalizedAliases": ["a"], "Value": "A"}
    for name in ("web", "wikipedia"):
        document = {"Data": [{"Question": name, "QuestionId": "1", "Answer": answer}]}
        put(tmp_path, f"{name}-dev.json", json.dumps(document))
    rows = read(tmp_path, "mandarjoshi/trivia_qa", "rc.nocontext")["validation"]
    assert [row["question"] for row in rows] == ["web", "wikipedia"]


def test_the_hub_s_folders_are_found_whatever_their_configuration_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "squad" / "plain_text"
    folder.mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist([{"id": "1"}]), folder / "validation-00000-of-00001.parquet"
    )
    assert read(tmp_path, "rajpurkar/squad") == {"validation": [{"id": "1"}]}
    row = {"key": 1, "prompt": "p", "instruction_id_list": [], "kwargs": []}
    put(tmp_path, "IFEval/ifeval_input_data.jsonl", lines(row))
    assert read(tmp_path, "google/IFEval") == {"train": [row]}


def test_spans_of_wsc_are_the_words_that_stand_there(tmp_path: Path) -> None:
    target = {"span1_index": 0, "span2_index": 3, "span1_text": "the dog", "span2_text": "it"}
    row = {"text": "The dog ran; It barked.", "target": target, "idx": 0, "label": True}
    put(tmp_path, "WSC/val.jsonl", lines(row))
    [fixed] = read(tmp_path, "aps/super_glue", "wsc.fixed")["validation"]
    assert (fixed["span1_text"], fixed["span2_text"]) == ("The dog", "It")
    [plain] = read(tmp_path, "aps/super_glue", "wsc")["validation"]
    assert plain["span1_text"] == "the dog"


def test_broken_rows_of_qqp_are_left_out_as_on_the_hub(tmp_path: Path) -> None:
    text = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tcut\n4\t5\t6\ta\tb\t1\n"
    put(tmp_path, "QQP/dev.tsv", text)
    assert read(tmp_path, "nyu-mll/glue", "qqp") == {
        "validation": [{"question1": "a", "question2": "b", "label": 1, "idx": 1}]
    }


def test_line_ends_of_unicode_do_not_end_a_line_of_json(tmp_path: Path) -> None:
    row = '{"goal": "a\u2028b\u0085c", "sol1": "x", "sol2": "y"}\n'
    put(tmp_path, "piqa/valid.jsonl", row)
    put(tmp_path, "piqa/valid-labels.lst", "0\n")
    assert read(tmp_path, "baber/piqa")["validation"][0]["goal"] == "a\u2028b\u0085c"


def test_hellaswag_s_rows_have_the_hub_s_order(tmp_path: Path) -> None:
    row = {"ind": 1, "activity_label": "a", "ctx_a": "a", "ctx_b": "b", "ctx": "c", "split": "val",
           "split_type": "x", "label": 2, "endings": ["e"] * 4, "source_id": "s"}  # fmt: skip
    put(tmp_path, "hellaswag_val.jsonl", lines(row))
    [found] = read(tmp_path, "Rowan/hellaswag")["validation"]
    assert [*found] == ["ind", "activity_label", "ctx_a", "ctx_b", "ctx", "endings", "source_id",
                        "split", "split_type", "label"] and found["label"] == "2"  # fmt: skip
