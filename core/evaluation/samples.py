"""lm-eval's samples as rows of ours: one question each, with a score that can be compared between
models question by question.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.evaluation.metrics import Extracted
from core.evaluation.rows import ResultRow, SampleRow

if TYPE_CHECKING:
    from lm_eval.api.task import Task

_PASSAGES = ("context", "passage", "paragraph")  # that several questions may share
_DRAWS = 200
_CORRELATIONS = frozenset({"pearson", "spearman"})
_LONGEST = 20_000  # characters of a text that is shown


def main_metric(metrics: Mapping[str, Any]) -> tuple[str, str]:
    """Return the metric that stands for a task, and the filter that it is read by: the first that it
    names.
    """
    names = [key for key in metrics if "_stderr," not in key]
    metric, _, used_filter = names[0].partition(",")
    return metric, used_filter


def stderr_of(
    metrics: Mapping[str, Any],
    metric: str,
    used_filter: str,
    samples: Sequence[Mapping[str, Any]],
    task: "Task",
) -> float | None:
    """Return the standard error of a task's metric: lm-eval's, or where it has none, of 200 bootstrap
    draws (Efron 1979); None for a single question.
    """
    given = metrics.get(f"{metric}_stderr,{used_filter}")
    if isinstance(given, int | float):
        return float(given)
    values = [one[metric] for one in samples if one["filter"] == used_filter and metric in one]
    if len(values) < 2:
        return None
    aggregate = task.aggregation()[metric]
    rng = np.random.default_rng(0)
    draws = [
        aggregate([values[place] for place in rng.integers(len(values), size=len(values))])
        for _ in range(_DRAWS)
    ]
    return float(np.nanstd(draws, ddof=1))


def as_sample_rows(
    samples: Sequence[Mapping[str, Any]],
    result: ResultRow,
    metric: str,
    used_filter: str,
    is_seen: Callable[[Mapping[str, Any]], bool] = lambda _: False,
) -> list[SampleRow]:
    """Return samples as rows; the score is by the metric that stands for the task, and stands in the
    rows of its filter alone. ``is_seen`` says of a question's data whether the model was trained on
    it.
    """
    rows: list[SampleRow] = []
    for one in samples:
        prompt, answer, gold = _texts(one)
        is_main = one["filter"] == used_filter
        rows.append({
            "evaluation_id": result["evaluation_id"],
            "model": result["model"],
            "task": result["task"],
            "question": int(one["doc_id"]),
            "filter": str(one["filter"]),
            "score": _score(one.get(metric), metric) if is_main else None,
            "seen": int(is_seen(one["doc"])),
                "cluster": _cluster(one["doc"]),
            "prompt": prompt, "answer": answer, "gold": gold,
            "sample": json.dumps(_rest(one), ensure_ascii=False, default=str),
        })  # fmt: skip
    return rows


def _score(value: object, metric: str) -> float | None:
    """Return a question's own part in a metric, as a number."""
    if isinstance(value, Extracted):
        return value.exact if metric.endswith("exact") else value.f1
    if isinstance(value, tuple | list):
        *_, gold, said = value
        if metric in _CORRELATIONS:
            return -abs(float(gold) - float(said))
        are_labels = all(isinstance(one, int | str | np.integer) for one in (gold, said))
        # what is neither, as a text's log-probability with its length, has no part of its own
        return (
            float(gold == said)
            if are_labels and "perplexity" not in metric and "bits" not in metric
            else None
        )
    if isinstance(value, bool | int | float | np.number):
        return float(value)
    return None


def _cluster(doc: Mapping[str, Any]) -> str:
    """Return what tells the passage that a question is asked about, '' for none."""
    for name in _PASSAGES:
        if isinstance(text := doc.get(name), str):
            return hashlib.sha256(text.encode()).hexdigest()[:12]
    return ""


def _texts(one: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return a question as it was asked, what was answered, and what is right."""
    arguments = one["arguments"]
    prompt = str(arguments[0][0])
    if is_choice(one):
        choices = [str(pair[-1]).strip() for pair in arguments]
        scores = [float(response[0][0]) for response in one["resps"]]
        best = scores.index(max(scores))
        answer = choices[best] or str(arguments[best][0])
        gold = one["target"]
        if isinstance(gold, int) and 0 <= gold < len(choices):
            gold = choices[gold]
    else:
        answer, gold = one["filtered_resps"][0], one["target"]
        answer = "\n---\n".join(map(str, answer)) if isinstance(answer, list) else str(answer)
    right = " / ".join(map(str, gold)) if isinstance(gold, list) else str(gold)
    return prompt[:_LONGEST], answer[:_LONGEST], right[:_LONGEST]


def normalised_score(samples: Sequence[Mapping[str, Any]]) -> float | None:
    """Return accuracy on BIG-bench's scale, 0 for guessing and 100 for all right (Srivastava et al.,
    arXiv 2206.04615, section 2.1); None where answers are written.
    """
    if not samples or not all(map(is_choice, samples)):
        return None
    guessing = sum(1 / len(one["arguments"]) for one in samples) / len(samples)
    accuracy = sum(float(one["acc"]) for one in samples) / len(samples)
    return 100 * (accuracy - guessing) / (1 - guessing) if guessing < 1 else None


def is_choice(one: Mapping[str, Any]) -> bool:
    """Return whether a sample is of choices whose log-probabilities were asked."""
    return all(isinstance(response[0], tuple | list) for response in one["resps"])


def _rest(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return what else lm-eval says of a sample; contexts that are all alike are kept once."""
    contexts = [pair[0] for pair in one["arguments"]]
    names = [*one["metrics"]]
    return {
        "doc": one["doc"],
        "target": one["target"],
        "contexts": contexts if len(set(contexts)) > 1 else contexts[:1],
        "asked": [pair[1] if len(pair) > 1 else None for pair in one["arguments"]],
        "resps": one["resps"],
        "filtered_resps": one["filtered_resps"],
        "metrics": {name: _as_json(one[name]) for name in names if name in one},
        "doc_hash": one["doc_hash"],
        "prompt_hash": one["prompt_hash"],
        "target_hash": one["target_hash"],
    }


def _as_json(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [_as_json(one) for one in value]
    if isinstance(value, Extracted):
        return {"exact": value.exact, "f1": value.f1}
    return value
