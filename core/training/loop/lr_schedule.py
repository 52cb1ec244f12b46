"""The learning rate as a pure function of the step. Knows no optimiser."""

import math


def learning_rate_at(step: int, total_steps: int, peak: float, warmup_share: float) -> float:
    """Return the learning rate of a step counted from 0.

    Linear warm-up, then half a cosine to zero (Loshchilov and Hutter, "SGDR", arXiv 1608.03983,
    equation 5, one cycle).
    """
    warmup = math.ceil(total_steps * warmup_share)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(total_steps - warmup, 1)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
