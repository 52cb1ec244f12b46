"""Made-up courses of losses, as charts take them."""

from typing import Any

from ui.train.metrics_cache import History


def points(*losses: float, every: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "step": at * every,
            "epoch": at * every / 10,
            "loss": loss,
            "seen_tokens": None if every > 1 else at * 100,
            "learning_rate": 1e-3,
            "gradient_norm": 1.0,
            "tokens_per_s": 500.0,
            "peak_memory_mib": 600.0,
        }
        for at, loss in enumerate(losses)
    ]


def history(
    train: list[dict[str, Any]],
    validation: list[dict[str, Any]],
    base: float | None = None,
    name: str = "run",
) -> History:
    return History(name, base, len(train), train, validation)
