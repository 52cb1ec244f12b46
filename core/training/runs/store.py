"""Runs and what happened in them, as rows. Knows events, not how they come about."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from core.datasets.splits import SplitSettings
from core.errors import WorkspaceError
from core.models.gguf_file import SMOLLM2
from core.models.resolve import bundled_models
from core.storage.workspace import Workspace, check_new_name, free_name, now
from core.training.events import (
    EvalDone,
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    SampleAnswered,
    StepDone,
)
from core.training.runs.rows import AnswerRow, MetricRow, RunRow
from core.training.runs.states import ACTIVE, RunState
from core.training.settings import TrainingSettings, read_settings

_END_STATES = {
    "completed": RunState.FINISHED,
    "early_stopped": RunState.FINISHED,
    "stopped": RunState.STOPPED,
}
_WITH_DATASET = (
    "SELECT runs.*, datasets.name AS dataset FROM runs JOIN datasets USING (content_hash)"
)
_LONGEST_NOTE = 2000  # characters
# what else may stand where a run's name may
RESERVED_NAMES = frozenset({"expected", SMOLLM2, *bundled_models()})
_END_WORDS = {
    "completed": "All steps done.",
    "early_stopped": "Stopped early: the validation loss no longer fell.",
    "stopped": "Stopped by hand.",
}


class RunStore:
    """The runs of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        """Work in a workspace."""
        self._workspace = workspace
        self._database = workspace.database

    def create(
        self,
        name: str,
        settings: TrainingSettings,
        content_hash: str,
        versions: Mapping[str, str],
        *,
        stem: str = "",
    ) -> str:
        """Add a run in the state ``queued`` and return its name: ``name``, or without one a free
        ``stem-N``.

        Raises WorkspaceError when the name is taken or unfit.
        """
        with self._database.transaction() as tables:
            name = name or self.free_name(stem)  # chosen where nobody else can choose it too
            self.check_free(name)
            tables.table("runs").insert(
                {
                    "name": name,
                    "state": RunState.QUEUED,
                    "content_hash": content_hash,
                    "settings": settings.to_json(),
                    "versions": json.dumps(dict(versions)),
                    "created_at": now(),
                }
            )
        return name

    def check_free(self, name: str, besides: str = "") -> None:
        """Raise WorkspaceError when a name is taken or unfit for a run; ``besides`` may take its
        own in other capitals.
        """
        check_new_name(name)
        if name.lower() in RESERVED_NAMES:
            raise WorkspaceError(
                f"The name '{name}' stands for something else already: choose another name."
            )
        # Windows and macOS know one folder by a name in any capitals
        sql = "SELECT name FROM runs WHERE name = ? OR (name = ? COLLATE NOCASE AND name != ?)"
        if taken := self._database.one(sql, [name, name, besides]):
            raise WorkspaceError(
                f"There is a run '{taken['name']}' already: choose another name or resume that one."
            )

    def rename(self, name: str, wanted: str) -> None:
        """Give a run another name; its folder is the caller's to move."""
        with self._database.transaction() as tables:
            self.check_free(wanted, besides=name)
            tables.execute("UPDATE runs SET name = ? WHERE name = ?", [wanted, name])

    def replace_settings(self, name: str, settings: TrainingSettings) -> None:
        """Write down other settings for a run."""
        with self._database.transaction() as tables:
            tables.execute(
                "UPDATE runs SET settings = ? WHERE name = ?", [settings.to_json(), name]
            )

    def free_name(self, stem: str) -> str:
        """Return ``stem-N`` with the first N that no run has."""
        return free_name(
            stem, (row["name"] for row in self._database.query("SELECT name FROM runs"))
        )

    def find(self, name: str) -> RunRow:
        """Return a run's row with its dataset's name. Raises WorkspaceError when there is none."""
        row = self._database.one(f"{_WITH_DATASET} WHERE runs.name = ?", [name])
        if row is None:
            raise WorkspaceError(f"There is no run '{name}' in {self._workspace.folder}.")
        return cast("RunRow", row)

    def settings(self, name: str) -> TrainingSettings:
        """Return a run's settings."""
        return read_settings(self.find(name)["settings"])

    def all(self) -> list[RunRow]:
        """Return all runs, the latest first, each with its dataset's name."""
        rows = self._database.query(f"{_WITH_DATASET} ORDER BY runs.id DESC")
        return cast("list[RunRow]", rows)

    def waiting_like(self, settings: TrainingSettings, content_hash: str) -> str:
        """Return the run that waits or goes on with the same settings and data, '' for none."""
        for row in self.in_states(ACTIVE):
            if (
                row["content_hash"] == content_hash
                and replace(read_settings(row["settings"]), day=settings.day) == settings
            ):
                return str(row["name"])
        return ""

    def in_states(self, states: Collection[RunState]) -> list[RunRow]:
        """Return the runs in any of some states, the first made first, each with its dataset's
        name.
        """
        marks = ", ".join("?" * len(states))
        rows = self._database.query(
            f"{_WITH_DATASET} WHERE state IN ({marks}) ORDER BY runs.id", list(states)
        )
        return cast("list[RunRow]", rows)

    def set_state(
        self, name: str, state: RunState, message: str = "", only_from: Collection[RunState] = ()
    ) -> bool:
        """Move a run to a state, if ``only_from`` names any only from one of them, and return
        whether it was moved.

        Whatever was requested of it before is done with.
        """
        marks = ", ".join("?" * len(only_from))
        condition = f" AND state IN ({marks})" if only_from else ""
        with self._database.transaction() as tables:
            moved = tables.execute(
                "UPDATE runs SET state = ?, message = ?, requested_action = '' WHERE name = "
                f"?{condition}",
                [state, message, name, *only_from],
            )
            return bool(moved.rowcount)

    def set_identity(self, name: str, identity: Mapping[str, str]) -> None:
        """Write down what tells a run's base model from others of its name."""
        with self._database.transaction() as tables:
            tables.execute(
                "UPDATE runs SET identity = ? WHERE name = ?", [json.dumps(dict(identity)), name]
            )

    def set_note(self, name: str, note: str) -> None:
        """Write down what a user wants to remember of a run.

        Raises WorkspaceError when it is too long.
        """
        if len(note) > _LONGEST_NOTE:
            raise WorkspaceError(
                f"The note has {len(note):,} characters; up to {_LONGEST_NOTE:,} are kept."
            )
        with self._database.transaction() as tables:
            tables.execute("UPDATE runs SET note = ? WHERE name = ?", [note.strip(), name])

    def request_action(self, name: str, action: Literal["", "pause", "stop"]) -> None:
        """Write down what the process that trains a run is asked to do."""
        with self._database.transaction() as tables:
            tables.execute("UPDATE runs SET requested_action = ? WHERE name = ?", [action, name])

    def delete(self, name: str) -> None:
        """Forget a run and all that happened in it; its folder is the caller's to remove."""
        with self._database.transaction() as tables:
            tables.execute("DELETE FROM runs WHERE name = ?", [name])

    def record(self, name: str, event: Event) -> None:
        """Write an event down; it is on disk when this returns."""
        run_id = self.find(name)["id"]
        match event:
            case RunStarted():
                self._start(run_id, event)
            case StepDone():
                self._step(run_id, event)
            case EvalDone():
                self._evaluation(run_id, event)
            case SampleAnswered():
                self._answer(run_id, event)
            case RunFinished():
                self._end(
                    run_id, _END_STATES[event.reason], _END_WORDS[event.reason], event.elapsed_s
                )
            case RunFailed():
                self._end(run_id, RunState.FAILED, event.message, None)

    def metrics(self, name: str, kind: str, after: int = -1) -> list[MetricRow]:
        """Return the metrics of one kind beyond a step, in the order of the steps."""
        rows = self._database.query(
            "SELECT metrics.* FROM metrics JOIN runs ON runs.id = run_id WHERE name = ? AND kind "
            "= ? AND metrics.step > ? "
            "ORDER BY metrics.step",
            [name, kind, after],
        )
        return cast("list[MetricRow]", rows)

    def answers(self, name: str) -> list[AnswerRow]:
        """Return the watched prompts' answers, by row and step."""
        rows = self._database.query(
            "SELECT answers.* FROM answers JOIN runs ON runs.id = run_id WHERE name = ? ORDER BY "
            "data_row, answers.step",
            [name],
        )
        return cast("list[AnswerRow]", rows)

    def last_speed(self, wanted: TrainingSettings, content_hash: str) -> float | None:
        """Return the tokens per second of a dataset's last run whose steps cost what those of
        ``wanted`` will, or None.
        """
        sql = """
            SELECT settings, max(seen_tokens) / runs.elapsed_s AS speed FROM metrics JOIN runs ON runs.id = run_id
            WHERE kind = 'train' AND content_hash = ? AND runs.elapsed_s > 0 GROUP BY runs.id ORDER BY runs.id DESC"""
        rows = self._database.query(sql, [content_hash])
        return next(
            (row["speed"] for row in rows if read_settings(row["settings"]).costs_like(wanted)),
            None,
        )

    def _start(self, run_id: int, event: RunStarted) -> None:
        with self._database.transaction() as tables:
            tables.table("runs").update(
                run_id,
                {
                    "state": RunState.RUNNING,
                    "message": event.notice,
                    "started_at": now(),
                    "finished_at": None,
                    "step": event.step,
                    "total_steps": event.total_steps,
                    "steps_per_epoch": event.steps_per_epoch,
                    "trained_parameters": event.trained_parameters,
                    "all_parameters": event.all_parameters,
                },
            )
            # What lies beyond the checkpoint is done again, with the same outcome.
            tables.execute(
                "DELETE FROM metrics WHERE run_id = ? AND step > ?", [run_id, event.step]
            )
            tables.execute(
                "DELETE FROM answers WHERE run_id = ? AND step > ?", [run_id, event.step]
            )

    def _step(self, run_id: int, event: StepDone) -> None:
        row = {
            "run_id": run_id,
            "kind": "train",
            "step": event.step,
            "epoch": event.epoch,
            "loss": event.loss,
            "learning_rate": event.learning_rate,
            "gradient_norm": event.gradient_norm,
            "seen_tokens": event.seen_tokens,
            "tokens_per_s": event.tokens_per_s,
            "peak_memory_mib": event.peak_memory_mib,
            "elapsed_s": event.elapsed_s,
        }
        with self._database.transaction() as tables:
            tables.table("metrics").insert(row, replace=True)
            tables.execute(
                "UPDATE runs SET step = ?, elapsed_s = ? WHERE id = ?",
                [event.step, event.elapsed_s, run_id],
            )

    def _evaluation(self, run_id: int, event: EvalDone) -> None:
        row = {
            "run_id": run_id,
            "kind": "validation",
            "step": event.step,
            "epoch": event.epoch,
            "loss": event.loss,
        }
        with self._database.transaction() as tables:
            tables.table("metrics").insert(row | {"elapsed_s": event.elapsed_s}, replace=True)
            if event.step == 0:
                tables.execute("UPDATE runs SET base_loss = ? WHERE id = ?", [event.loss, run_id])
            if event.is_best:
                tables.table("runs").update(
                    run_id, {"best_loss": event.loss, "best_step": event.step}
                )

    def _answer(self, run_id: int, event: SampleAnswered) -> None:
        row = {
            "run_id": run_id,
            "step": event.step,
            "data_row": event.row,
            "prompt": event.prompt,
            "expected": event.expected,
            "answer": event.answer,
        }
        with self._database.transaction() as tables:
            tables.table("answers").insert(row, replace=True)

    def _end(self, run_id: int, state: RunState, message: str, elapsed_s: float | None) -> None:
        changes: dict[str, Any] = {
            "state": state,
            "message": message,
            "requested_action": "",
            "finished_at": now(),
        }
        with self._database.transaction() as tables:
            tables.table("runs").update(
                run_id, changes if elapsed_s is None else changes | {"elapsed_s": elapsed_s}
            )


def trained_splits(
    workspace: Workspace, content_hash: str, names: Sequence[str]
) -> dict[str, SplitSettings]:
    """Return the split that each of the named runs was trained with on a dataset; names that are no
    such run are left out.
    """
    runs = {name.partition("@")[0] for name in names}
    rows = [
        row
        for row in RunStore(workspace).all()
        if row["name"] in runs and row["content_hash"] == content_hash
    ]
    return {row["name"]: read_settings(row["settings"]).splits for row in rows}


def find_split_settings(
    workspace: Workspace, content_hash: str, names: Sequence[str]
) -> SplitSettings:
    """Return the split that the named runs were trained with on a dataset; names that are no such
    run are passed over.

    The default split when no run is named. Raises WorkspaceError when two runs were split
    differently, because then one would be tested on rows it has learnt.
    """
    found = trained_splits(workspace, content_hash, names)
    if len(set(found.values())) > 1:
        raise WorkspaceError(
            f"The runs {', '.join(found)} were trained on different splits: test rows of one "
            "were learnt by another."
        )
    return next(iter(found.values()), SplitSettings())
