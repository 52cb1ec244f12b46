"""One optimiser step after the other: rows, gradients, clipping, AdamW.

Knows no evaluation, no checkpoint and no event. Shapes: a step's rows are one effective batch,
shared out among the processes that train together and cut into forward passes of ``batch_size``
rows; the loss of each is divided by the trained tokens of the whole step, so 1 row × 8 passes, or 8
processes, gives the gradient of 8 rows × 1 pass.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from core.models.fsdp import whole
from core.prompts.collate import plan_epoch
from core.prompts.encoder import EncodedRow
from core.training.kernels.batch import collate
from core.training.kernels.batch_loss import BatchLoss
from core.training.loop.job import TrainingJob
from core.training.loop.lr_schedule import learning_rate_at

_EPS = 1e-6  # as in torch's clip_grads_with_norm_
_TRIED_TOKENS = 256  # by which threads are compared
_TRIES = 2
_WORTH = 1.1


@dataclass(frozen=True, slots=True)
class TakenStep:
    """A step that was given to the device, which may still be at it: reading the figures waits for
    its end.
    """

    number: int  # counted from 1
    tokens: int  # of its rows
    learning_rate: float
    figures: torch.Tensor  # (2,): the mean loss in nats and the gradients' norm before clipping
    began_s: float  # by the clock that counts finest


class Steps:
    """The steps of one job."""

    def __init__(
        self, job: TrainingJob, batch_loss: BatchLoss, optimizer: torch.optim.AdamW
    ) -> None:
        self._job = job
        self._batch_loss = batch_loss
        self._optimizer = optimizer
        self._epoch_plan: tuple[int, list[list[int]]] = (-1, [])

    def take(self, step: int) -> TakenStep:
        """Take the step that comes after ``step`` others."""
        began_s = time.perf_counter()
        settings = self._job.settings
        learning_rate = learning_rate_at(
            step, self._job.total_steps, settings.learning_rate, settings.warmup_share
        )
        rows = self._rows(step)
        figures = torch.stack([self._gradients(rows, step), self._optimizer_step(learning_rate)])
        return TakenStep(
            step + 1, sum(len(row.ids) for row in rows), learning_rate, figures, began_s
        )

    def try_longest_rows(self) -> None:
        """Compute the largest batch there can be and forget it, so that a batch too large is known
        before the first step.

        What the optimiser keeps is allocated at the first step itself.
        """
        settings = self._job.settings
        longest = sorted(self._job.train, key=lambda row: -len(row.ids))[: settings.step_rows]
        part, _ = self._job.group.passes(longest, settings.batch_size)[0]
        rows = next(self._bounded(part))
        self._job.model.train()
        self._batch_loss.backward(
            collate(rows, self._job.pad_id, mask_prompt=settings.mask_prompt), 1.0
        )
        self._optimizer.zero_grad()

    def quickest_threads(self, choices: Sequence[int]) -> int:
        """Return with how many threads a pass over a few usual rows takes least; nothing is learnt."""
        by_length = sorted(self._job.train, key=lambda row: len(row.ids))
        rows = [by_length[len(by_length) // 2]]
        for row in by_length[len(by_length) // 2 + 1 :]:
            if sum(len(one.ids) for one in (*rows, row)) > _TRIED_TOKENS:
                break
            rows.append(row)
        batch = collate(rows, self._job.pad_id, mask_prompt=self._job.settings.mask_prompt)
        self._job.model.train()
        took = dict.fromkeys(choices, math.inf)
        for threads in (choices[-1], *_TRIES * tuple(choices)):  # the first is to warm up
            torch.set_num_threads(threads)
            began_s = time.perf_counter()
            self._batch_loss.backward(batch, 1.0)
            took[threads] = min(took[threads], time.perf_counter() - began_s)
        self._optimizer.zero_grad()
        # a thread more must bring something, for the page and others want a core too
        return min(choices, key=lambda threads: took[threads] * _WORTH ** (threads > choices[0]))

    def _bounded(self, rows: Sequence[EncodedRow]) -> Iterator[list[EncodedRow]]:
        """Yield the rows of a pass in as many parts as bound the memory that it takes, one row in
        each at least. The gradient is the same; processes that share weights out do not part them,
        for each waits for the others in every pass.
        """
        limit = None if self._batch_loss.is_sharded else self._job.most_tokens
        part: list[EncodedRow] = []
        for row in rows:
            if part and limit and sum(len(one.ids) for one in (*part, row)) > limit:
                yield part
                part = []
            part.append(row)
        yield part

    def _rows(self, step: int) -> list[EncodedRow]:
        """Return the rows of a step."""
        settings = self._job.settings
        epoch, index = divmod(step, self._job.steps_per_epoch)
        if self._epoch_plan[0] != epoch:
            lengths = [len(row.ids) for row in self._job.train]
            self._epoch_plan = (
                epoch,
                plan_epoch(lengths, settings.step_rows, settings.seed, epoch),
            )
        return [self._job.train[i] for i in self._epoch_plan[1][index]]

    def _gradients(self, rows: Sequence[EncodedRow], step: int) -> torch.Tensor:
        """Run forward and backward over a step's rows and return its mean loss in nats, a scalar."""
        settings, group = self._job.settings, self._job.group
        self._job.model.train()
        # dropout, the same on every resumption
        torch.manual_seed(settings.seed * 1_000_003 + step + group.rank * 7919)
        # FSDP averages the processes' gradients, not adds them up
        averaged = group.size if self._batch_loss.is_sharded else 1
        divisor = sum(row.targets(mask_prompt=settings.mask_prompt) for row in rows) / averaged
        losses = []
        for whole_pass, counts in group.passes(rows, settings.batch_size):
            for part in self._bounded(whole_pass):
                batch = collate(part, self._job.pad_id, mask_prompt=settings.mask_prompt)
                losses.append(self._batch_loss.backward(batch, divisor if counts else math.inf))
        loss = torch.stack(losses).sum() / averaged
        group.all_reduce_sum(
            [loss] if self._batch_loss.is_sharded else [loss, *self._own_gradients()]
        )
        return loss

    def _own_gradients(self) -> list[torch.Tensor]:
        return [weight.grad for weight in self._trained() if weight.grad is not None]

    def _optimizer_step(self, learning_rate: float) -> torch.Tensor:
        """Clip, step and clear; return the gradient norm before clipping, a scalar.

        Gradients whose norm is over the limit are divided by how far it is (Pascanu et al. 2013,
        arXiv 1211.5063, algorithm 1).
        """
        total = torch.nn.utils.get_total_norm(self._own_gradients())
        if (limit := self._job.settings.max_gradient_norm) > 0:
            self._clip(total, limit)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        return whole(total)

    def _clip(self, total: torch.Tensor, limit: float) -> None:
        if self._optimizer.param_groups[0]["fused"] and not self._batch_loss.is_sharded:
            # divided where the optimiser reads them in any case, by the number that torch's own
            # loss scaling leaves there
            self._optimizer.grad_scale = ((total + _EPS) / limit).clamp_(min=1.0)  # type: ignore[attr-defined]
        else:
            torch.nn.utils.clip_grads_with_norm_(self._trained(), limit, total)

    def _trained(self) -> list[torch.nn.Parameter]:
        parameters: list[torch.nn.Parameter] = self._optimizer.param_groups[0]["params"]
        return parameters
