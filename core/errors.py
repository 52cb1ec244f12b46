"""Everything Fuata raises on purpose.

FuataError
└── UserError              a user can fix it: one sentence that says what, where and what to do
    ├── DataError          a file of instructions
    ├── StyleError         a prompt style or chat template
    ├── ModelError         a model folder, run name or hub id
    ├── SettingsError      settings of a run; carries every wrong field at once
    ├── TrainingError      a run that cannot go on: diverged, out of memory
    ├── WorkspaceError     the workspace folder, its database, a name in it
    ├── ReviewError        a review, a pair, a verdict
    ├── EvaluationError    a benchmark, its tasks or what is evaluated
    └── StoppedError       work that somebody stopped

Any other exception is a bug and is allowed to look like one.
"""

from collections.abc import Mapping

EXIT_USER_ERROR = 2  # exit status of a command that a UserError ended


class FuataError(Exception):
    """Root of the tree."""


class UserError(FuataError):
    """Something a user can put right; ``str(error)`` is the sentence they read."""


class DataError(UserError):
    """A file of instructions cannot be used."""


class StyleError(UserError):
    """A prompt style cannot be found or rendered."""


class ModelError(UserError):
    """A model cannot be found, read or used."""


class SettingsError(UserError):
    """Settings of a run are wrong; ``fields`` maps each wrong field to its reason."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        """Join the reasons into one sentence."""
        self.fields = dict(fields)
        super().__init__(
            "; ".join(f"{name.replace('_', ' ')}: {reason}" for name, reason in fields.items())
        )


class TrainingError(UserError):
    """A run cannot go on."""


class WorkspaceError(UserError):
    """The workspace cannot be opened, or a name in it is taken or unknown."""


class ReviewError(UserError):
    """A review cannot be made, read or rated."""


class EvaluationError(UserError):
    """A benchmark cannot be found or run."""


class StoppedError(UserError):
    """Somebody stopped the work that they watched."""
