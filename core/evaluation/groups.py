"""Results of groups of tasks: means over their members, as lm-eval and the official scripts compute
them. Knows no model.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from core.evaluation.rows import EvaluationRow, ResultRow
from core.evaluation.store import EvaluationStore

if TYPE_CHECKING:
    from core.evaluation.tasks import TaskGroup

# of which GLUE's mean takes the mean first
_MEANS_OF_METRICS = frozenset({"glue", "super_glue"})  # by their official scores
_ONE_TASK = {"mnli_mismatch": "mnli"}


@dataclass(frozen=True, slots=True)
class Pooled:
    """The mean of some tasks."""

    value: float
    stderr: float | None


def weighted_mean(members: Sequence[tuple[float, float | None, int]]) -> Pooled:
    """Return the mean of (value, standard error, questions) weighted by questions, its error pooled
    as lm-eval pools it.
    """
    total = sum(size for _, _, size in members)
    value = sum(value * size for value, _, size in members) / total
    errors = [(error, size) for _, error, size in members if error is not None]
    if len(errors) < len(members) or total <= len(members):
        return Pooled(value, None)
    pooled = sum((size - 1) * error**2 * size for error, size in errors) / (total - len(members))
    return Pooled(value, sqrt(pooled / total))


def plain_mean(members: Sequence[tuple[float, float | None]]) -> Pooled:
    """Return the mean of independent (value, standard error), each counting alike."""
    count = len(members)
    errors = [error for _, error in members if error is not None]
    stderr = sqrt(sum(error**2 for error in errors)) / count if len(errors) == count else None
    return Pooled(sum(value for value, _ in members) / count, stderr)


def add_group_results(
    store: EvaluationStore,
    row: EvaluationRow,
    model: str,
    fingerprint: str,
    groups: "Sequence[TaskGroup]",
) -> None:
    """Write down the results of groups, of those members that have one."""
    results = {
        one["task"]: one
        for one in store.results(row["name"])
        if one["model"] == model and not one["message"] and not one["is_group"]
    }
    for group in groups:
        members = [results[task] for task in group.members if task in results]
        if not members:
            continue
        if group.is_weighted:
            pooled = _weighted(members)
        elif group.name in _MEANS_OF_METRICS:
            pooled = _of_suite(members)
        else:
            pooled = plain_mean([(one["value"] or 0.0, one["stderr"]) for one in members])
        notes = []
        if len(members) < len(group.members):
            notes = [f"of {len(members)} of its {len(group.members)} tasks"]
        metrics = {one["metric"] for one in members}
        store.add_result(
            {
                "evaluation_id": row["id"], "model": model, "task": group.name, "is_group": 1,
                "metric": metrics.pop() if len(metrics) == 1 else "mean",
                "value": pooled.value, "stderr": pooled.stderr,
                "questions": sum(one["questions"] for one in members), "metrics": "{}",
                "facts": json.dumps({"notes": notes, "members": [one["task"] for one in members]}),
                "fingerprint": fingerprint, "message": "",
            },
            [],
        )  # fmt: skip


def _weighted(members: Sequence[ResultRow]) -> Pooled:
    return weighted_mean(
        [(one["value"] or 0.0, one["stderr"], one["questions"]) for one in members]
    )


def _of_suite(members: Sequence[ResultRow]) -> Pooled:
    """Return the mean of a suite's tasks: of each the mean of its metrics, as GLUE and SuperGLUE
    count.
    """
    by_task: dict[str, list[tuple[float, float | None]]] = {}
    for one in members:
        values = [
            value
            for key, value in json.loads(one["metrics"]).items()
            if "_stderr," not in key and value is not None
        ]
        error = one["stderr"]
        mean = sum(values) / len(values) if values else one["value"] or 0.0
        by_task.setdefault(_ONE_TASK.get(one["task"], one["task"]), []).append((mean, error))
    return plain_mean(
        [(pooled.value, pooled.stderr) for pooled in map(plain_mean, by_task.values())]
    )
