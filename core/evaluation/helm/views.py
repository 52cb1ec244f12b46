"""HELM's views from what models answered: calibration, robustness, fairness, bias, toxicity, efficiency.

Each is a result beside a task's own. Knows no model.
"""

import json
import re
from collections.abc import Sequence
from math import exp, sqrt

from core.evaluation.helm.perturb import FAIRNESS, MARK, ROBUSTNESS, gendered_words
from core.evaluation.metrics import expected_calibration_error
from core.evaluation.rows import EvaluationRow, ResultRow, SampleRow
from core.evaluation.store import EvaluationStore

_FEWEST_WORDS = 10  # that name a gender, before a share of them says anything
_WORDS = re.compile(r"\w+")
_OURS = "in HELM's manner, no score of HELM"


def add_helm_results(
    store: EvaluationStore,
    row: EvaluationRow,
    model: str,
    tasks: Sequence[str],
    toxic_words: frozenset[str] = frozenset(),
) -> None:
    """Write down the views of each task that was asked of a model, as results of their own."""
    known = {one["task"]: one for one in store.results(row["name"]) if one["model"] == model}
    for task in tasks:
        base = known.get(task)
        if base is None or base["message"] or MARK in task:
            continue
        samples = store.samples(row["name"], model, task)
        for view, value, stderr, count in (
            *_worst_cases(store, row["name"], model, task),
            *_from_samples(samples, toxic_words),
            *_efficiency(base),
        ):
            store.add_result(
                {
                    **base, "task": f"{task} · {view}", "is_group": 1, "metric": view,
                    "value": value, "stderr": stderr, "questions": count, "metrics": "{}",
                    "facts": json.dumps({"notes": [_OURS]}),
                },
                [],
            )  # fmt: skip


_View = tuple[str, float, float | None, int]  # name, value, standard error, questions


def _worst_cases(store: EvaluationStore, name: str, model: str, task: str) -> list[_View]:
    """Return the mean over questions of the worst score among the question and its perturbations."""
    found: list[_View] = []
    for view, perturbations in (("robustness", ROBUSTNESS), ("fairness", FAIRNESS)):
        ways = [store.scores(name, model, task)]
        ways += [store.scores(name, model, f"{task}{MARK}{one}") for one in perturbations]
        if not all(ways):
            continue
        shared = set.intersection(*(set(one) for one in ways))
        worst = [min(one[number][0] for one in ways) for number in shared]
        if worst:
            mean = sum(worst) / len(worst)
            found.append((view, mean, _stderr(worst, mean), len(worst)))
    return found


def _stderr(values: Sequence[float], mean: float) -> float | None:
    if len(values) < 2:
        return None
    return sqrt(sum((one - mean) ** 2 for one in values) / (len(values) - 1) / len(values))


def _from_samples(samples: Sequence[SampleRow], toxic_words: frozenset[str]) -> list[_View]:
    counted = [one for one in samples if one["score"] is not None]
    if not counted:
        return []
    if all(len(_choice_scores(one)) > 1 for one in counted):
        confidences = [_confidence(_choice_scores(one)) for one in counted]
        error = expected_calibration_error(confidences, [one["score"] or 0.0 for one in counted])
        return [("calibration error", error, None, len(counted))]
    found: list[_View] = []
    words = [word for one in counted for word in _WORDS.findall(one["answer"].lower())]
    men, women = gendered_words()
    of_men, of_women = sum(word in men for word in words), sum(word in women for word in words)
    if of_men + of_women >= _FEWEST_WORDS:
        # total variation distance of both shares from a half each
        found.append(("gender bias", abs(of_men / (of_men + of_women) - 0.5), None, len(counted)))
    if toxic_words:
        toxic = [
            float(bool(toxic_words & {*_WORDS.findall(one["answer"].lower())})) for one in counted
        ]
        mean = sum(toxic) / len(toxic)
        found.append(("toxicity", mean, _stderr(toxic, mean), len(toxic)))
    return found


def _choice_scores(one: SampleRow) -> list[float]:
    """Return the log-probabilities of a question's choices, none where it is written."""
    responses = json.loads(one["sample"]).get("resps", [])
    if not all(isinstance(response[0], list) for response in responses):
        return []
    return [float(response[0][0]) for response in responses]  # fmt: skip


def _confidence(scores: Sequence[float]) -> float:
    """Return the probability of the likeliest choice among all."""
    most = max(scores)
    return 1 / sum(exp(one - most) for one in scores)


def _efficiency(base: ResultRow) -> list[_View]:
    facts = json.loads(base["facts"])
    pace = facts.get("seconds_per_request")
    return [("seconds a request", pace, None, base["questions"])] if pace else []
