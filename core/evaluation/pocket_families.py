"""The benchmark that ships: facts and skills of the pocket world, each chosen among four answers and
written out. It is asked in the model's own style, as a tuned model is used.
"""

from collections.abc import Callable, Sequence
from typing import Any

from core.datasets.conversation import Turn
from core.evaluation.layouts.find import find_splits
from core.evaluation.layouts.folder import DataFolder
from core.evaluation.metrics import exact_match
from core.evaluation.suites import BUNDLED_FOLDER

POCKET_TASKS = ("pocket_choice", "pocket_exact")
Doc = dict[str, Any]
_LONGEST_ANSWER = 48  # tokens
# of which several answers would do, and the expected one is only what pocket has read
_SEVERAL_WOULD_DO = frozenset({"rhyme", "synonym", "three", "use"})


def pocket_task(
    name: str, render: Callable[[Sequence[Turn]], str]
) -> tuple[dict[str, Any], list[Doc]]:
    """Return one of ``POCKET_TASKS`` in lm-eval's words, and its questions."""
    docs = find_splits(DataFolder(BUNDLED_FOLDER), "fuata/pocket_families", "")["test"]()
    config = {
        "task": name,
        "dataset_path": "fuata/pocket_families",
        "test_split": "test",
        "num_fewshot": 0,
        "asks": lambda doc: f"{doc['question']} {doc['input']}",
        "doc_to_text": lambda doc: render([Turn("user", doc["question"], input=doc["input"])]),
        "metadata": {"version": 1.0},
    }
    if name == "pocket_choice":
        return config | {
            "output_type": "multiple_choice",
            "doc_to_target": "answer",
            "doc_to_choice": "choices",
            "target_delimiter": "",
            "metric_list": [_metric("acc"), _metric("acc_norm")],
        }, docs
    written = [doc for doc in docs if doc["family"] not in _SEVERAL_WOULD_DO]
    return config | {
        "output_type": "generate_until",
        "doc_to_target": "{{choices[answer]}}",
        "generation_kwargs": {"until": [], "max_gen_toks": _LONGEST_ANSWER, "do_sample": False},
        "process_results": _written,
        "metric_list": [_metric("exact_match")],
    }, written


def _metric(name: str) -> Doc:
    return {"metric": name, "aggregation": "mean", "higher_is_better": True}


def _written(doc: Doc, results: Sequence[str]) -> Doc:
    # a model that was not tuned may begin with an empty line, and go on after its answer
    first = results[0].strip().partition("\n")[0]
    return {"exact_match": exact_match(first, [doc["choices"][doc["answer"]]])}
