"""The loss on rows that are not learnt. Knows no optimiser and no schedule."""

import math

import torch

from core.prompts.collate import plan_evaluation
from core.training.kernels.batch import collate
from core.training.kernels.batch_loss import BatchLoss
from core.training.loop.job import TrainingJob


def validation_loss(job: TrainingJob, batch_loss: BatchLoss) -> float:
    """Return the mean loss over the trained tokens of the whole validation split, in nats.

    Of several processes each computes every so many-th batch.
    """
    batches = plan_evaluation([len(row.ids) for row in job.validation], job.settings.batch_size * 2)
    losses = []
    for [indices], counts in job.group.passes(batches, 1):
        batch = collate(
            [job.validation[index] for index in indices],
            job.pad_id,
            mask_prompt=job.settings.mask_prompt,
        )
        loss = batch_loss.summed(batch).item()
        losses.append(loss if counts else 0.0)
    # on the CPU: not every device has such numbers
    total = torch.tensor(math.fsum(losses), dtype=torch.float64)
    job.group.all_reduce_sum([total])
    return total.item() / sum(
        row.targets(mask_prompt=job.settings.mask_prompt) for row in job.validation
    )
