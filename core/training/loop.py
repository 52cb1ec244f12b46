"""The training loop: a generator of events. Knows no database, no thread, no screen and no file of instructions.

Shapes: a step's rows are one effective batch, shared out among the processes that train together and cut into forward passes
of ``batch_size`` rows; the loss of each is divided by the trained tokens of the whole step, so 1 row × 8 passes, or 8 processes,
gives the gradient of 8 rows × 1 pass.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch

from core.errors import TrainingError
from core.models.adapters import parameter_counts
from core.models.loading import computing_type
from core.models.sharding import whole
from core.prompts.batches import collate, plan_epoch
from core.prompts.encoding import EncodedRow
from core.training.checkpoints import load_checkpoint, save_checkpoint
from core.training.events import CheckpointSaved, EvalDone, Event, RunFinished, RunStarted, SampleAnswered, StepDone
from core.training.job import TrainingJob
from core.training.loss import BatchLoss
from core.training.memory import peak_memory_mib
from core.training.schedule import learning_rate_at
from core.training.validation import validation_loss

Question = Callable[[], bool]
_TIMES_ITS_COST = 20  # a state is saved again after so many times what saving it took: at most 5 % of the run
_PAUSE_POLL_S = 0.1


def never() -> bool:
    """Answer no: the default for callers that neither stop nor pause."""
    return False


def train(job: TrainingJob, should_stop: Question = never, should_pause: Question = never) -> Iterator[Event]:
    """Train and yield what happened, going on from ``job.checkpoint`` where there is one.

    Raises TrainingError when the loss is no longer a number.
    """
    return _Loop(job, should_stop, should_pause).events()


class _Loop:
    """The state of one run and the events it gives rise to."""

    def __init__(self, job: TrainingJob, should_stop: Question, should_pause: Question) -> None:
        self.job = job
        self.should_stop = should_stop
        self.should_pause = should_pause
        self.batch_loss = BatchLoss(job.model, computing_type(job.settings.precision))
        trained = [parameter for parameter in job.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, lr=job.settings.learning_rate, weight_decay=job.settings.weight_decay, fused=trained[0].device.type != "mps"
        )
        self.progress = load_checkpoint(job.checkpoint, job.model, self.optimizer)
        if self._has_run_dry():  # it was stopped early, and somebody wants it to go on
            self.progress.evaluations_without_gain = 0
        self.save_next_at_s = time.monotonic() + job.settings.checkpoint_every_s
        self.epoch_plan: tuple[int, list[list[int]]] = (-1, [])

    def events(self) -> Iterator[Event]:
        """Yield the whole run."""
        yield self._started()
        self._try_longest_rows()
        if self.progress.step == 0:
            yield from self._evaluate()
        reason: Literal["completed", "stopped", "early_stopped"] = "completed"
        while self.progress.step < self.job.total_steps:
            stops, saves = self.job.group.from_first(self._what_is_due)
            if stops:
                reason = "stopped"
                break
            if saves:
                yield self._save()
            yield self._step()
            if self._evaluation_is_due():
                yield from self._evaluate_and_keep()
            if self._has_run_dry():
                reason = "early_stopped"
                break
        yield from self._finish(reason)

    def _started(self) -> RunStarted:
        job = self.job
        trained, total = parameter_counts(job.model)
        device = str(next(job.model.parameters()).device) + (f" × {job.group.size}" if job.group.size > 1 else "")
        rows = len(job.train), len(job.validation)
        obstacle = self.batch_loss.obstacle
        notice = f"Padding is computed too, for this model does not allow flat rows: {obstacle}." if obstacle else ""
        return RunStarted(
            job.run, self.progress.step, job.total_steps, job.steps_per_epoch, *rows, trained, total, device, notice
        )

    def _try_longest_rows(self) -> None:
        """Compute the largest batch there can be and forget it, so that a batch too large is known before the first step.

        What the optimiser keeps is allocated at the first step itself.
        """
        settings = self.job.settings
        longest = sorted(self.job.train, key=lambda row: -len(row.ids))[: settings.step_rows]
        rows, _ = self.job.group.passes(longest, settings.batch_size)[0]
        self.job.model.train()
        self.batch_loss.backward(collate(rows, self.job.pad_id, mask_prompt=settings.mask_prompt), 1.0)
        self.optimizer.zero_grad()

    def _what_is_due(self) -> tuple[bool, bool]:
        """Wait while the run is paused; tell whether it is to stop, and whether its state is to be saved."""
        while self.should_pause() and not self.should_stop():
            time.sleep(_PAUSE_POLL_S)
        return self.should_stop(), self.progress.step > 0 and time.monotonic() >= self.save_next_at_s

    def _step(self) -> StepDone:
        started = time.monotonic()
        settings, step = self.job.settings, self.progress.step
        learning_rate = learning_rate_at(step, self.job.total_steps, settings.learning_rate, settings.warmup_share)
        rows = self._rows(step)
        loss, norm = torch.stack([self._gradients(rows, step), self._take_step(learning_rate)]).tolist()
        _check_finite(loss, step + 1)
        took_s = time.monotonic() - started
        tokens = sum(len(row.ids) for row in rows)
        self.progress.step += 1
        self.progress.last_loss = None
        self.progress.seen_tokens += tokens
        self.progress.elapsed_s += took_s
        return StepDone(
            step=step + 1,
            epoch=self._epoch(),
            loss=loss,
            learning_rate=learning_rate,
            gradient_norm=norm,
            seen_tokens=self.progress.seen_tokens,
            tokens_per_s=tokens / took_s,
            peak_memory_mib=peak_memory_mib(),
            elapsed_s=self.progress.elapsed_s,
        )

    def _rows(self, step: int) -> list[EncodedRow]:
        """Return the rows of a step."""
        settings = self.job.settings
        epoch, index = divmod(step, self.job.steps_per_epoch)
        if self.epoch_plan[0] != epoch:
            lengths = [len(row.ids) for row in self.job.train]
            self.epoch_plan = (epoch, plan_epoch(lengths, settings.step_rows, settings.seed, epoch))
        return [self.job.train[i] for i in self.epoch_plan[1][index]]

    def _gradients(self, rows: Sequence[EncodedRow], step: int) -> torch.Tensor:
        """Run forward and backward over a step's rows and return its mean loss in nats, a scalar."""
        settings, group = self.job.settings, self.job.group
        self.job.model.train()
        torch.manual_seed(settings.seed * 1_000_003 + step + group.rank * 7919)  # dropout, the same on every resumption
        averaged = group.size if self.batch_loss.is_sharded else 1  # the processes' gradients are averaged by FSDP, not added up
        divisor = sum(row.targets(mask_prompt=settings.mask_prompt) for row in rows) / averaged
        losses = []
        for part, counts in group.passes(rows, settings.batch_size):
            batch = collate(part, self.job.pad_id, mask_prompt=settings.mask_prompt)
            losses.append(self.batch_loss.backward(batch, divisor if counts else math.inf))
        loss = torch.stack(losses).sum() / averaged
        group.add_up([loss] if self.batch_loss.is_sharded else [loss, *self._own_gradients()])
        return loss

    def _own_gradients(self) -> list[torch.Tensor]:
        return [weight.grad for weight in self.optimizer.param_groups[0]["params"] if weight.grad is not None]

    def _take_step(self, learning_rate: float) -> torch.Tensor:
        """Clip, step and clear; return the gradient norm before clipping, a scalar."""
        limit = self.job.settings.max_gradient_norm
        parameters = self.optimizer.param_groups[0]["params"]
        norm = whole(torch.nn.utils.clip_grad_norm_(parameters, limit if limit > 0 else math.inf))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def _evaluation_is_due(self) -> bool:
        step = self.progress.step
        return step % self.job.steps_per_evaluation == 0 or step == self.job.total_steps

    def _has_run_dry(self) -> bool:
        patience = self.job.settings.patience
        return 0 < patience <= self.progress.evaluations_without_gain and self.progress.step < self.job.total_steps

    def _evaluate_and_keep(self) -> Iterator[Event]:
        """Evaluate, and keep the model when it is the best so far."""
        yield from self._evaluate()
        if self.progress.best_step == self.progress.step or not self.job.validation:
            yield self._keep(self.job.best, "best")
        if self.job.settings.keep == "every":
            yield self._keep(self.job.kept_at(self.progress.step), "kept")

    def _keep(self, folder: Path, kind: Literal["best", "kept"]) -> CheckpointSaved:
        self.job.save(self.job.model, self.progress, folder)
        return CheckpointSaved(self.progress.step, str(folder), kind)

    def _evaluate(self) -> Iterator[Event]:
        if not self.job.validation:
            return
        self.job.model.eval()
        loss = validation_loss(self.job, self.batch_loss)
        _check_finite(loss, self.progress.step)
        is_best = self._note(loss)
        yield EvalDone(self.progress.step, self._epoch(), loss, is_best, self.progress.elapsed_s)
        answers = self.job.answer(self.job.model, [watched.ids for watched in self.job.watched])
        for watched, answer in zip(self.job.watched, answers, strict=True):
            yield SampleAnswered(self.progress.step, watched.row, watched.prompt, watched.expected, answer)

    def _note(self, loss: float) -> bool:
        """Remember a validation loss; the untuned model's, at step 0, is no candidate for the best."""
        progress = self.progress
        progress.last_loss = loss
        if progress.step == 0:
            return False
        if progress.best_loss is None or loss < progress.best_loss:
            progress.best_loss, progress.best_step, progress.evaluations_without_gain = loss, progress.step, 0
            return True
        progress.evaluations_without_gain += 1
        return False

    def _save(self) -> CheckpointSaved:
        started_s = time.monotonic()
        writes = self.job.group.is_first
        save_checkpoint(self.job.checkpoint, self.job.model, self.optimizer, self.progress, writes=writes)
        ended_s = time.monotonic()
        self.save_next_at_s = ended_s + max(self.job.settings.checkpoint_every_s, _TIMES_ITS_COST * (ended_s - started_s))
        return CheckpointSaved(self.progress.step, str(self.job.checkpoint), "last")

    def _finish(self, reason: Literal["completed", "stopped", "early_stopped"]) -> Iterator[Event]:
        yield self._save()  # a run that has ended may be extended
        if reason == "stopped" and self.progress.step > 0 and self.progress.best_step == 0:  # before any evaluation: keep what is
            yield self._keep(self.job.best, "best")
        if reason != "stopped" and self.job.settings.keep == "last":
            yield self._keep(self.job.kept_at(self.progress.step), "kept")
        progress = self.progress
        best_step = progress.best_step or progress.step
        yield RunFinished(progress.step, reason, best_step, progress.best_loss, progress.elapsed_s)

    def _epoch(self) -> float:
        return self.progress.step / self.job.steps_per_epoch


def _check_finite(loss: float, step: int) -> None:
    if step == 0 and not math.isfinite(loss):
        raise TrainingError(f"The base model's loss is {loss}: its weights are damaged; copy it again from its source.")
    if not math.isfinite(loss):
        raise TrainingError(f"The loss became {loss} at step {step}: lower the learning rate; the best model so far is kept.")
