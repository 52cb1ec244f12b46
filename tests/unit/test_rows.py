"""Typed rows say what the tables hold: every column, and what may be empty."""

from pathlib import Path
from types import NoneType, UnionType
from typing import get_args, get_type_hints

import pytest

from core.datasets.store import DatasetRow
from core.evaluation.rows import EvaluationRow, ResultRow, SampleRow
from core.generation.conversations import ConversationRow
from core.storage.workspace import Workspace
from core.training.runs.rows import AnswerRow, MetricRow, RunRow
from review.store.reviews import ReviewStore
from review.store.rows import ReviewRow

_TYPES = {"INTEGER": int, "REAL": float, "TEXT": str}


@pytest.mark.parametrize(
    ("row", "table", "more"),
    [
        (RunRow, "runs", {"dataset"}),
        (MetricRow, "metrics", set()),
        (AnswerRow, "answers", set()),
        (DatasetRow, "datasets", set()),
        (ConversationRow, "conversations", set()),
        (EvaluationRow, "evaluations", set()),
        (ResultRow, "evaluation_results", set()),
        (SampleRow, "evaluation_samples", set()),
        (ReviewRow, "reviews", {"pairs", "ratings"}),
    ],
)
def test_a_typed_row_has_the_columns_of_its_table(
    tmp_path: Path, row: type, table: str, more: set[str]
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    ReviewStore(workspace)
    columns = {one["name"]: one for one in workspace.database.query(f"PRAGMA table_info({table})")}
    hints = get_type_hints(row)
    assert set(hints) - set(columns) == more and set(columns) <= set(hints)
    for name, column in columns.items():
        kinds = set(get_args(hints[name])) if isinstance(hints[name], UnionType) else {hints[name]}
        can_be_empty = not column["notnull"] and not column["pk"]
        assert (NoneType in kinds) == can_be_empty, name
        [kind] = kinds - {NoneType}
        assert _TYPES[column["type"]] is (str if issubclass(kind, str) else kind), name
    workspace.close()
