"""The states that a run can be in."""

from enum import StrEnum


class RunState(StrEnum):
    """What has become of a run; the values are those of the database."""

    QUEUED = "queued"  # waits for its turn, or loads its model
    RUNNING = "running"
    FINISHED = "finished"  # all steps done, or stopped early
    STOPPED = "stopped"  # by a user, who may resume it
    FAILED = "failed"  # its message says why
    INTERRUPTED = "interrupted"  # its process died, or the app's


ACTIVE = frozenset({RunState.QUEUED, RunState.RUNNING})
AT_REST = frozenset(RunState) - ACTIVE
