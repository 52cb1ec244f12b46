"""The training loop: a generator of events.

Knows no database, no thread, no screen and no file of instructions.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import torch

from core.errors import TrainingError
from core.models.load import compute_dtype
from core.models.lora import has_frozen_experts, parameter_counts
from core.training.events import (
    CheckpointSaved,
    EvalDone,
    Event,
    RunFinished,
    RunStarted,
    SampleAnswered,
    StepDone,
)
from core.training.kernels.batch_loss import BatchLoss
from core.training.kernels.matmul_backend import DEFAULT, using_backend
from core.training.kernels.memory import peak_memory_mib
from core.training.loop.checkpoint import load_checkpoint, save_checkpoint
from core.training.loop.evaluate import validation_loss
from core.training.loop.job import TrainingJob
from core.training.loop.optimizer_step import Steps, TakenStep
from core.training.planning.throughput import thread_choices

Question = Callable[[], bool]
# a state is saved again after so many times what saving it took: at most 5 % of the run
_TIMES_ITS_COST = 20
_PAUSE_POLL_S = 0.1


def steps_ahead(device: torch.device) -> int:
    """Return how many steps are given to a device before the first of them is read: one, so that a
    GPU never waits for us.
    """
    return 0 if device.type == "cpu" else 1


def never() -> bool:
    """Answer no: the default for callers that neither stop nor pause."""
    return False


def train(
    job: TrainingJob, should_stop: Question = never, should_pause: Question = never
) -> Iterator[Event]:
    """Train and yield what happened, going on from ``job.checkpoint`` where there is one.

    Raises TrainingError when the loss is no longer a number.
    """
    loop = _Loop(job, should_stop, should_pause)
    with using_backend(loop.progress.matmul_backend):
        yield from loop.events()


class _Loop:
    """The state of one run and the events it gives rise to."""

    def __init__(self, job: TrainingJob, should_stop: Question, should_pause: Question) -> None:
        self.job = job
        self.should_stop = should_stop
        self.should_pause = should_pause
        self.batch_loss = BatchLoss(job.model, compute_dtype(job.settings.precision))
        trained = [parameter for parameter in job.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained,
            lr=job.settings.learning_rate,
            weight_decay=job.settings.weight_decay,
            fused=trained[0].device.type != "mps",
        )
        self.progress = load_checkpoint(job.checkpoint, job.model, self.optimizer)
        self.progress.matmul_backend = job.group.broadcast_from_rank0(self._matmul_backend)
        if self._patience_exhausted():  # it was stopped early, and somebody wants it to go on
            self.progress.evaluations_without_gain = 0
        self.steps = Steps(job, self.batch_loss, self.optimizer)
        self.taken: deque[TakenStep] = deque()
        self.ahead = steps_ahead(trained[0].device)
        self.save_next_at_s = time.monotonic() + job.settings.checkpoint_every_s

    def events(self) -> Iterator[Event]:
        """Yield the whole run."""
        self._set_threads()
        yield self._started()
        self.steps.try_longest_rows()
        if self.progress.step == 0:
            yield from self._evaluate()
        reason: Literal["completed", "stopped", "early_stopped"] = "completed"
        while self.progress.step < self.job.total_steps:
            due = self.job.group.broadcast_from_rank0(self._what_is_due)
            if due == "stop":
                reason = "stopped"
                break
            if due == "wait":
                yield from self._flush_events()  # a pause is no part of a step's time
                self.job.group.broadcast_from_rank0(self._wait)
                continue
            if due == "save":
                yield from self._save()
            yield from self._step()
            if self._evaluation_is_due():
                yield from self._evaluate_and_keep()
            if self._patience_exhausted():
                reason = "early_stopped"
                break
        yield from self._finish(reason)

    def _matmul_backend(self) -> str:
        """Return the library that multiplies float32 matrices, from the first step to the last:
        another rounds otherwise, so a run keeps the one that it began with.
        """
        settings, device = self.job.settings, next(self.job.model.parameters()).device
        if device.type != "cpu" or settings.compiled or compute_dtype(settings.precision):
            return DEFAULT
        return self.progress.matmul_backend or settings.matmul_backend

    def _set_threads(self) -> None:
        """Find how many threads compute soonest on a CPU: sums round otherwise with another number,
        so a run keeps the one that it began with.
        """
        if next(self.job.model.parameters()).device.type != "cpu":
            return
        choices, progress = thread_choices(self.job.group.size), self.progress
        if not progress.threads:  # there is a choice for a single process alone
            is_new = progress.step == 0 and len(choices) > 1
            progress.threads = self.steps.quickest_threads(choices) if is_new else choices[0]
        torch.set_num_threads(progress.threads)

    def _started(self) -> RunStarted:
        job = self.job
        trained, total = parameter_counts(job.model)
        device = str(next(job.model.parameters()).device) + (
            f" × {job.group.size}" if job.group.size > 1 else ""
        )
        device += (
            ""
            if self.progress.matmul_backend == DEFAULT
            else f", products by {self.progress.matmul_backend}"
        )
        if self.progress.threads > 1:
            device += f", {self.progress.threads} threads"
        rows = len(job.train), len(job.validation)
        unsupported_reason = self.batch_loss.unsupported_reason
        notice = (
            "Padding is computed too, for this model does not allow flat rows: "
            f"{unsupported_reason}. "
            if unsupported_reason
            else ""
        )
        if has_frozen_experts(job.model):
            notice += "No adapter fits this model's experts, which stay as they are; the rest of it is trained."
        return RunStarted(
            job.run,
            self.progress.step,
            job.total_steps,
            job.steps_per_epoch,
            *rows,
            trained,
            total,
            device,
            notice.strip(),
        )

    def _what_is_due(self) -> Literal["stop", "wait", "save", ""]:
        """Return what is to be done before the next step, which only one process must decide."""
        if self.should_stop():
            return "stop"
        if self.should_pause():
            return "wait"
        return "save" if self.progress.step > 0 and time.monotonic() >= self.save_next_at_s else ""

    def _wait(self) -> None:
        """Wait while the run is paused."""
        while self.should_pause() and not self.should_stop():
            time.sleep(_PAUSE_POLL_S)

    def _step(self) -> Iterator[StepDone]:
        """Take a step; tell of those that the device has done, or must by now."""
        self.taken.append(self.steps.take(self.progress.step))
        self.progress.step += 1
        self.progress.last_loss = None
        yield from self._flush_events(ahead=self.ahead)

    def _flush_events(self, ahead: int = 0) -> Iterator[StepDone]:
        """Read what became of the steps taken, but for the last ``ahead`` of them."""
        while len(self.taken) > ahead:
            yield self._to_event(self.taken.popleft())

    def _to_event(self, step: TakenStep) -> StepDone:
        loss, norm = step.figures.tolist()
        _check_finite(loss, step.number)
        _check_finite(norm, step.number, "gradients' norm")
        # they follow each other without a gap
        ended_s = self.taken[0].began_s if self.taken else time.perf_counter()
        took_s = ended_s - step.began_s
        self.progress.seen_tokens += step.tokens
        self.progress.elapsed_s += took_s
        return StepDone(
            step=step.number,
            epoch=step.number / self.job.steps_per_epoch,
            loss=loss,
            learning_rate=step.learning_rate,
            gradient_norm=norm,
            seen_tokens=self.progress.seen_tokens,
            tokens_per_s=step.tokens / took_s,
            peak_memory_mib=peak_memory_mib(),
            elapsed_s=self.progress.elapsed_s,
        )

    def _evaluation_is_due(self) -> bool:
        step = self.progress.step
        return step % self.job.steps_per_evaluation == 0 or step == self.job.total_steps

    def _patience_exhausted(self) -> bool:
        patience = self.job.settings.patience
        return (
            0 < patience <= self.progress.evaluations_without_gain
            and self.progress.step < self.job.total_steps
        )

    def _evaluate_and_keep(self) -> Iterator[Event]:
        """Evaluate, and keep the model when it is the best so far."""
        yield from self._flush_events()
        yield from self._evaluate()
        if self.progress.best_step == self.progress.step or not self.job.validation:
            yield self._save_model(self.job.best, "best")
        if self.job.settings.keep == "every":
            yield self._save_model(self.job.kept_at(self.progress.step), "kept")

    def _save_model(self, folder: Path, kind: Literal["best", "kept"]) -> CheckpointSaved:
        self.job.save(self.job.model, self.progress, folder)
        return CheckpointSaved(self.progress.step, str(folder), kind)

    def _evaluate(self) -> Iterator[Event]:
        if not self.job.validation:
            return
        self.job.model.eval()
        loss = validation_loss(self.job, self.batch_loss)
        _check_finite(loss, self.progress.step)
        is_best = self._record_loss(loss)
        yield EvalDone(self.progress.step, self._epoch(), loss, is_best, self.progress.elapsed_s)
        answers = self.job.answer(self.job.model, [watched.ids for watched in self.job.watched])
        for watched, answer in zip(self.job.watched, answers, strict=True):
            yield SampleAnswered(
                self.progress.step, watched.row, watched.prompt, watched.expected, answer
            )

    def _record_loss(self, loss: float) -> bool:
        """Remember a validation loss; the untuned model's, at step 0, is no candidate for the best."""
        progress = self.progress
        progress.last_loss = loss
        if progress.step == 0:
            return False
        if progress.best_loss is None or loss < progress.best_loss:
            progress.best_loss, progress.best_step, progress.evaluations_without_gain = (
                loss,
                progress.step,
                0,
            )
            return True
        progress.evaluations_without_gain += 1
        return False

    def _save(self) -> Iterator[Event]:
        # a loss that is no number must not be found in a state that was saved
        yield from self._flush_events()
        started_s = time.monotonic()
        writes = self.job.group.is_first
        save_checkpoint(
            self.job.checkpoint, self.job.model, self.optimizer, self.progress, writes=writes
        )
        ended_s = time.monotonic()
        self.save_next_at_s = ended_s + max(
            self.job.settings.checkpoint_every_s, _TIMES_ITS_COST * (ended_s - started_s)
        )
        yield CheckpointSaved(self.progress.step, str(self.job.checkpoint), "last")

    def _finish(self, reason: Literal["completed", "stopped", "early_stopped"]) -> Iterator[Event]:
        yield from self._save()  # a run that has ended may be extended
        # before any evaluation: keep what is
        if reason == "stopped" and self.progress.step > 0 and self.progress.best_step == 0:
            yield self._save_model(self.job.best, "best")
        if reason != "stopped" and self.job.settings.keep == "last":
            yield self._save_model(self.job.kept_at(self.progress.step), "kept")
        progress = self.progress
        best_step = progress.best_step or progress.step
        yield RunFinished(progress.step, reason, best_step, progress.best_loss, progress.elapsed_s)

    def _epoch(self) -> float:
        return self.progress.step / self.job.steps_per_epoch


def _check_finite(value: float, step: int, what: str = "loss") -> None:
    if step == 0 and not math.isfinite(value):
        raise TrainingError(
            f"The base model's {what} is {value}: its weights are damaged; copy it again from "
            "its source."
        )
    if not math.isfinite(value):
        raise TrainingError(
            f"The {what} became {value} at step {step}: lower the learning rate; the best model "
            "so far is kept."
        )
