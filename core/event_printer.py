"""A sink for the terminal: events as JSON lines, or as words now and then. Knows no database."""

from core.terminal import emit, say
from core.training.events import EvalDone, Event, RunFailed, RunFinished, RunStarted, StepDone, event_object


class EventPrinter:
    """Prints events and collects the messages of those that tell a failure."""

    def __init__(self, failures: list[str], *, as_json: bool) -> None:
        self.as_json = as_json
        self.failures = failures
        self.total_steps = 0

    def __call__(self, event: Event) -> None:
        """Print one event."""
        if self.as_json:
            emit(event_object(event))
        if isinstance(event, RunFailed):
            self.failures.append(event.message)
        elif isinstance(event, RunStarted):
            self.total_steps = event.total_steps
        if text := self._words(event):
            say(text)

    def _words(self, event: Event) -> str:
        match event:
            case RunStarted():
                parameters = f"{event.trained_parameters:,} of {event.all_parameters:,} parameters"
                return f"{event.run}: {event.train_rows} rows, {event.total_steps} steps, {parameters} on {event.device}" + (
                    f"\n{event.notice}" if event.notice else ""
                )
            case StepDone() if event.step % 10 == 0:
                return f"step {event.step}/{self.total_steps}  loss {event.loss:.4f}  {event.tokens_per_s:,.0f} tokens/s"
            case EvalDone():
                return f"step {event.step}  validation loss {event.loss:.4f}{'  (best)' if event.is_best else ''}"
            case RunFinished():
                return f"{event.reason} at step {event.step}; the best model is that of step {event.best_step}"
        return ""
