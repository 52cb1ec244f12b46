"""SuperGLUE (Wang et al., arXiv 1905.00537) as its JSON lines: `TASK/{train,val}.jsonl`, or
`TASK.{train,val}….jsonl` in one folder.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from core.errors import DataError
from core.evaluation.layouts.folder import DataFolder, Row, Splits, as_class, read_json_lines

_FOLDERS = {
    "boolq": "BoolQ", "cb": "CB", "copa": "COPA", "multirc": "MultiRC", "record": "ReCoRD",
    "rte": "RTE", "wic": "WiC", "wsc": "WSC", "wsc.fixed": "WSC",
}  # fmt: skip
_FALSE_TRUE = ("false", "true")
_Read = Callable[[Row, Path, int], Iterator[Row]]


def find_super_glue(folder: DataFolder, config: str) -> Splits:
    """Return the splits of one of the eight tasks that lie in a folder."""
    if (name := _FOLDERS.get(config)) is None:
        return {}
    found = {
        split: folder.find(rf"{name}/{word}\.jsonl") or folder.find(rf"{name}\.{word}\w*\.jsonl")
        for split, word in (("train", "train"), ("validation", "val"))
    }
    read = _wsc_fixed if config == "wsc.fixed" else _READ[name]
    return {split: _reading(path, read) for split, path in found.items() if path}


def _reading(path: Path, read: _Read) -> Callable[[], list[Row]]:
    def rows() -> list[Row]:
        found: list[Row] = []
        for number, row in enumerate(read_json_lines(path), start=1):
            try:
                found.extend(read(row, path, number))
            except (KeyError, TypeError, IndexError, AttributeError) as error:
                raise DataError(
                    f"{path}, line {number}: {error} is missing or no such thing; fetch it anew."
                ) from error
        return found

    return rows


def _bool_q(row: Row, path: Path, number: int) -> Iterator[Row]:
    yield {
        "question": row["question"], "passage": row["passage"], "idx": row["idx"],
        "label": _truth(row["label"], path, number),
    }  # fmt: skip


def _truth(word: object, path: Path, number: int) -> int:
    return as_class(str(word).lower(), _FALSE_TRUE, path, number)


def _cb(row: Row, path: Path, number: int) -> Iterator[Row]:
    classes = ("entailment", "contradiction", "neutral")
    yield {
        "premise": row["premise"], "hypothesis": row["hypothesis"], "idx": row["idx"],
        "label": as_class(row["label"], classes, path, number),
    }  # fmt: skip


def _copa(row: Row, path: Path, number: int) -> Iterator[Row]:
    names = ("premise", "choice1", "choice2", "question", "idx")
    yield {
        **{name: row[name] for name in names}, "label": as_class(row["label"], "01", path, number)
    }  # fmt: skip


def _multi_rc(row: Row, path: Path, number: int) -> Iterator[Row]:
    for place, question in enumerate(row["passage"]["questions"]):
        for answer in question["answers"]:
            yield {
                "paragraph": row["passage"]["text"],
                "question": question["question"],
                "answer": answer["text"],
                "idx": {
                    "paragraph": row["idx"],
                    "question": question.get("idx", place),
                    "answer": answer["idx"],
                },
                "label": as_class(answer["label"], "01", path, number),
            }


def _record(row: Row, _path: Path, _number: int) -> Iterator[Row]:
    text = row["passage"]["text"]
    spans = sorted(row["passage"]["entities"], key=lambda span: span["start"])
    # a span's end belongs to it
    entities = list(dict.fromkeys(text[span["start"] : span["end"] + 1] for span in spans))
    for question in row["qas"]:
        answers = list(dict.fromkeys(answer["text"] for answer in question["answers"]))
        yield {
            "passage": text,
            "query": question["query"],
            "entities": entities,
            "answers": answers,
            "idx": {"passage": row["idx"], "query": question["idx"]},
        }


def _rte(row: Row, path: Path, number: int) -> Iterator[Row]:
    classes = ("entailment", "not_entailment")
    yield {
        "premise": row["premise"], "hypothesis": row["hypothesis"], "idx": row["idx"],
        "label": as_class(row["label"], classes, path, number),
    }  # fmt: skip


def _wic(row: Row, path: Path, number: int) -> Iterator[Row]:
    names = ("word", "sentence1", "sentence2", "start1", "start2", "end1", "end2", "idx")
    yield {**{name: row[name] for name in names}, "label": _truth(row["label"], path, number)}


def _wsc(row: Row, path: Path, number: int) -> Iterator[Row]:
    names = ("span1_index", "span2_index", "span1_text", "span2_text")
    yield {
        "text": row["text"],
        **{name: row["target"][name] for name in names},
        "idx": row["idx"],
        "label": _truth(row["label"], path, number),
    }


def _wsc_fixed(row: Row, path: Path, number: int) -> Iterator[Row]:
    """Yield a row whose spans are the words that stand at their places, as the hub's `wsc.fixed`."""
    for found in _wsc(row, path, number):
        words = found["text"].split(" ")
        for span in ("span1", "span2"):
            wanted, start = found[f"{span}_text"], found[f"{span}_index"]
            there = " ".join(words[start : start + len(wanted.split(" "))])
            is_same = there.strip(".,;!?").lower() == wanted.strip(".,;!?").lower()
            if is_same and there.strip(".,;!?") != wanted:
                found[f"{span}_text"] = there.strip(".,;!?")
        yield found


_READ: dict[str, _Read] = {
    "BoolQ": _bool_q, "CB": _cb, "COPA": _copa, "MultiRC": _multi_rc, "ReCoRD": _record,
    "RTE": _rte, "WiC": _wic, "WSC": _wsc,
}  # fmt: skip
