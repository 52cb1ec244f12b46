"""Evaluations, their results and samples, as rows. Knows no model and no task."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from core.errors import EvaluationError
from core.evaluation.rows import EvaluationRow, EvaluationState, ResultRow, SampleRow
from core.evaluation.settings import EvaluationSettings, read_evaluation_settings
from core.storage.workspace import Workspace, check_new_name, free_name, now

OF_EVALUATION = " in evaluation "  # in what tells an address in one from others
_GOING_ON = (EvaluationState.QUEUED, EvaluationState.RUNNING)


def lock_file(workspace: Workspace, number: int) -> Path:
    """Return the file that the process of an evaluation holds."""
    return workspace.folder / "evaluations" / f"{number}.lock"


class EvaluationStore:
    """The evaluations of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        """Work in a workspace."""
        self._database = workspace.database

    def check_free(self, name: str) -> str:
        """Return a name that a new evaluation may have: ``name``, or without one a free one.

        Raises WorkspaceError or EvaluationError when it is unfit or taken.
        """
        known = [row["name"] for row in self._database.query("SELECT name FROM evaluations")]
        name = check_new_name(name or free_name("evaluation", known))
        if name.lower() in {one.lower() for one in known}:
            raise EvaluationError(
                f"There is an evaluation '{name}' already: choose another name, or go on with that one."
            )
        return name

    def create(
        self,
        name: str,
        models: Sequence[str],
        tasks: Sequence[str],
        settings: EvaluationSettings,
    ) -> str:
        """Add an evaluation in the state ``queued`` and return its name: ``name``, or without one a
        free ``evaluation-N``.

        Raises WorkspaceError or EvaluationError when the name is unfit or taken.
        """
        with self._database.transaction() as tables:
            name = self.check_free(name)
            tables.table("evaluations").insert(
                {
                    "name": name,
                    "state": EvaluationState.QUEUED,
                    "models": json.dumps(settings.contenders(models)),
                    "tasks": json.dumps(list(dict.fromkeys(tasks))),
                    "settings": settings.to_json(),
                    "versions": "{}",
                    "created_at": now(),
                }
            )
        return name

    def find(self, name: str) -> EvaluationRow:
        """Return an evaluation's row. Raises EvaluationError where there is none."""
        row = self._database.one("SELECT * FROM evaluations WHERE name = ?", [name])
        if row is None:
            raise EvaluationError(f"There is no evaluation '{name[:80]}'.")
        return cast("EvaluationRow", row)

    def settings(self, name: str) -> EvaluationSettings:
        """Return what an evaluation is asked with."""
        return read_evaluation_settings(self.find(name)["settings"])

    def all(self) -> list[EvaluationRow]:
        """Return all evaluations, the latest first."""
        rows = self._database.query("SELECT * FROM evaluations ORDER BY id DESC")
        return cast("list[EvaluationRow]", rows)

    def set_state(self, name: str, state: EvaluationState, message: str = "") -> None:
        """Say how far an evaluation is; what was asked of it is answered by that, but where it begins to
        run: it may have been asked to stop before.
        """
        finished_at = None if state in _GOING_ON else now()
        with self._database.transaction() as tables:
            tables.execute(
                "UPDATE evaluations SET state = ?, message = ?, finished_at = ?, "
                "requested_action = CASE ? WHEN 'running' THEN requested_action ELSE '' END "
                "WHERE name = ?",
                [state, message, finished_at, state, name],
            )

    def note_versions(self, name: str, versions: Mapping[str, str]) -> None:
        """Write down the libraries that an evaluation runs with."""
        with self._database.transaction() as tables:
            tables.execute(
                "UPDATE evaluations SET versions = ? WHERE name = ?",
                [json.dumps(dict(versions)), name],
            )

    def add_time(self, name: str, seconds: float) -> None:
        """Add to the time that an evaluation took."""
        with self._database.transaction() as tables:
            tables.execute(
                "UPDATE evaluations SET elapsed_s = elapsed_s + ? WHERE name = ?", [seconds, name]
            )

    def request_stop(self, name: str) -> None:
        """Ask the process that runs an evaluation to stop."""
        with self._database.transaction() as tables:
            tables.execute(
                "UPDATE evaluations SET requested_action = 'stop' WHERE name = ?", [name]
            )

    def delete(self, name: str) -> None:
        """Forget an evaluation with its results; what models answered stays known."""
        if self.find(name)["state"] in _GOING_ON:
            raise EvaluationError(f"The evaluation '{name}' is going on: stop it first.")
        number = self.find(name)["id"]
        with self._database.transaction() as tables:
            tables.execute("DELETE FROM evaluations WHERE name = ?", [name])
            # what stood behind an address is not asked for it again
            tables.execute(
                "DELETE FROM benchmark_answers WHERE instr(model, ?) > 0",
                [f"{OF_EVALUATION}{number} of "],
            )

    def add_result(self, row: ResultRow, samples: Sequence[SampleRow]) -> None:
        """Write down what came of a task, with its samples, all at once."""
        key = [row["evaluation_id"], row["model"], row["task"]]
        with self._database.transaction() as tables:
            for table in ("evaluation_results", "evaluation_samples"):
                tables.execute(
                    f"DELETE FROM {table} WHERE evaluation_id = ? AND model = ? AND task = ?",  # noqa: S608 - names of ours
                    key,
                )
            tables.table("evaluation_results").insert(cast("dict[str, Any]", row))
            tables.table("evaluation_samples").insert_all(
                (cast("dict[str, Any]", sample) for sample in samples), batch_size=200
            )

    def results(self, name: str) -> list[ResultRow]:
        """Return the results of an evaluation by model and task."""
        rows = self._database.query(
            "SELECT evaluation_results.* FROM evaluation_results JOIN evaluations "
            "ON evaluations.id = evaluation_id WHERE name = ? ORDER BY model, is_group DESC, task",
            [name],
        )
        return cast("list[ResultRow]", rows)

    def samples(
        self, name: str, model: str, task: str, limit: int = -1, offset: int = 0
    ) -> list[SampleRow]:
        """Return the questions of a task with what a model answered, in their order."""
        rows = self._database.query(
            "SELECT evaluation_samples.* FROM evaluation_samples JOIN evaluations "
            "ON evaluations.id = evaluation_id WHERE name = ? AND model = ? AND task = ? "
            "ORDER BY question, filter LIMIT ? OFFSET ?",
            [name, model, task, limit, offset],
        )
        return cast("list[SampleRow]", rows)

    def signature(self, name: str) -> str:
        """Return what changes with every result of an evaluation. Raises EvaluationError."""
        number = self.find(name)["id"]
        row = self._database.one(
            "SELECT COUNT(*) AS count, TOTAL(value) AS sum, TOTAL(questions) AS questions, "
            "COALESCE(GROUP_CONCAT(facts), '') AS facts FROM evaluation_results "
            "WHERE evaluation_id = ?",
            [number],
        )
        return f"{number} {row}"

    def questions(
        self, name: str, model: str, task: str, numbers: Sequence[int]
    ) -> list[SampleRow]:
        """Return some questions of a task with what a model answered, by the filter that counts."""
        marks = ", ".join("?" * len(numbers))
        sql = f"""SELECT evaluation_samples.* FROM evaluation_samples
            JOIN evaluations ON evaluations.id = evaluation_id
            WHERE name = ? AND model = ? AND task = ? AND question IN ({marks})
            ORDER BY question, score IS NULL"""  # noqa: S608 - question marks alone
        rows = self._database.query(sql, [name, model, task, *numbers])
        return cast("list[SampleRow]", rows)

    def unseen_scores(self, name: str, model: str, task: str) -> tuple[int, list[float]]:
        """Return how many of a task's questions the model was trained on, and the scores of the
        others.
        """
        rows = self._database.query(
            "SELECT seen, score FROM evaluation_samples JOIN evaluations "
            "ON evaluations.id = evaluation_id WHERE name = ? AND model = ? AND task = ? "
            "AND score IS NOT NULL",
            [name, model, task],
        )
        return sum(row["seen"] for row in rows), [row["score"] for row in rows if not row["seen"]]

    def scores(self, name: str, model: str, task: str) -> dict[int, tuple[float, str]]:
        """Return each question's score and cluster, by the first filter of the task."""
        rows = self._database.query(
            "SELECT question, score, cluster FROM evaluation_samples JOIN evaluations "
            "ON evaluations.id = evaluation_id WHERE name = ? AND model = ? AND task = ? "
            "AND score IS NOT NULL GROUP BY question ORDER BY question",
            [name, model, task],
        )
        return {row["question"]: (row["score"], row["cluster"]) for row in rows}
