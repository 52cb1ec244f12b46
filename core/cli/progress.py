"""A sink for the terminal: events as JSON lines, or as words now and then. Knows no database."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from core.cli.output import emit, say
from core.training.events import (
    EvalDone,
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    StepDone,
    event_object,
)

if TYPE_CHECKING:
    from core.training.planning.plan import RunPlan


def print_plan(plan: "RunPlan", run: str, *, as_json: bool) -> None:
    """Say what the Ready card says of a run that is about to begin: how many rows, and what to
    mind.
    """
    from core.training.planning.cautions import cautions

    minded = cautions(plan)
    if as_json:
        counts = {
            "train_rows": len(plan.train),
            "validation_rows": len(plan.validation),
            "total_steps": plan.total_steps,
        }
        rows = {"cut_rows": list(plan.cut_rows), "dropped_rows": list(plan.dropped_rows)}
        left_out = {"unwritable": [asdict(row) for row in plan.unwritable], "refused": plan.refused}
        emit({"event": "RunPlanned", "run": run, **counts, **rows, **left_out, "cautions": minded})
    for line in minded:
        say(f"Mind: {line}.")


class EventPrinter:
    """Prints events and collects the messages of those that tell a failure."""

    def __init__(self, failures: list[str], *, as_json: bool) -> None:
        self.as_json = as_json
        self.failures = failures
        self.total_steps = 0
        self.base_loss: float | None = None

    def __call__(self, event: Event) -> None:
        """Print one event."""
        if self.as_json:
            emit(event_object(event))
        if isinstance(event, RunFailed):
            self.failures.append(event.message)
        elif isinstance(event, RunStarted):
            self.total_steps = event.total_steps
        elif isinstance(event, EvalDone) and event.step == 0:
            self.base_loss = event.loss
        if text := self._words(event):
            say(text)

    def _words(self, event: Event) -> str:
        match event:
            case RunStarted():
                parameters = f"{event.trained_parameters:,} of {event.all_parameters:,} parameters"
                return (
                    f"{event.run}: {event.train_rows} rows, {event.total_steps} steps, "
                    f"{parameters} on {event.device}"
                    + (f"\n{event.notice}" if event.notice else "")
                )
            case StepDone() if event.step % 10 == 0:
                return f"step {event.step}/{self.total_steps}  loss {event.loss:.4f}  {event.tokens_per_s:,.0f} tokens/s"
            case EvalDone():
                return f"step {event.step}  validation loss {event.loss:.4f}{'  (best)' if event.is_best else ''}"
            case RunFinished():
                return self._end(event)
        return ""

    def _end(self, event: RunFinished) -> str:
        """Say how a run ended, and whether it brought anything."""
        if event.best_loss is None:
            return f"{event.reason} at step {event.step}; without validation rows the last model is kept"
        words = (
            f"{event.reason} at step {event.step}; the best model is that of step {event.best_step}"
        )
        if self.base_loss is None:
            return f"{words}, validation loss {event.best_loss:.4f}"
        words += f", validation loss {self.base_loss:.4f} before and {event.best_loss:.4f} now"
        worse = (
            ": it is WORSE than its base; lower the learning rate"
            if event.best_loss > self.base_loss
            else ""
        )
        return words + worse
