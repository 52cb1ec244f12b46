"""Answers as ids: many prompts at once, or one streamed. Knows no text."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

from core.generation.continuous_batch import (
    MOST_ROWS,
    SHORTEST_PREFIX,
    ContinuousBatch,
    draw_tokens,
)
from core.generation.rows import Generated, Limits, Row, Step
from core.generation.sampling import Sampling
from core.models.load import takes_logits_to_keep
from core.models.masks import why_no_own_mask

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_way: "WeakKeyDictionary[PreTrainedModel, str]" = WeakKeyDictionary()


def rows_of(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    limits: Limits,
    seeds: Sequence[int] | None = None,
) -> list[Row]:
    """Return prompts that are to be answered in one way; ``seeds``, one for each, stand in for that
    of ``sampling``.
    """
    return [
        Row(
            number,
            prompt,
            Generated(),
            replace(sampling, seed=seeds[number]) if seeds else sampling,
            limits,
            model.device,
        )
        for number, prompt in enumerate(prompts)
    ]


def generate_ids(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    limits: Limits,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Generated]:
    """Answer all prompts; each answer is the same in whatever company."""
    rows = rows_of(model, prompts, sampling, limits)
    for _ in answer_rows(model, rows, should_stop):
        pass
    return [row.answer for row in rows]


def answer_rows(
    model: "PreTrainedModel",
    rows: Sequence[Row],
    should_stop: Callable[[], bool],
    most_rows: int = MOST_ROWS,
) -> Iterator[int]:
    """Answer prompts, and yield the number of each as it is done; what was stopped within a step is
    marked and not yielded.
    """
    if not should_stop():
        for row, token in decode(model, rows, most_rows):
            if token is None:
                yield row.number
            if should_stop():
                break
    if should_stop():
        mark_stopped(rows)


def mark_stopped(rows: Sequence[Row]) -> None:
    """Note of the answers that are not done that they were stopped."""
    for row in rows:
        if not row.has_ended:
            row.answer.finish_reason = "stopped"


def reason_for_one_at_a_time(model: "PreTrainedModel") -> str:
    """Return why a model's prompts are answered one after the other, '' where they are not.

    Some layouts carry along what knows nothing of rows of other lengths; each model is tried once.
    """
    if model not in _way:
        _way[model] = _try(model)
    return _way[model]


def decode(
    model: "PreTrainedModel", rows: Sequence[Row], most_rows: int = MOST_ROWS
) -> Iterator[Step]:
    """Yield every row's tokens as they are drawn, and its end."""
    if reason_for_one_at_a_time(model):
        for row in rows:
            yield from _answer_alone(model, row)
        return
    yield from ContinuousBatch(model, rows, most_rows).run()


def _answer_alone(model: "PreTrainedModel", row: Row) -> Iterator[Step]:
    """Answer one prompt with the model's own cache, or anew for every token where it has none."""
    device = model.device
    ids = torch.tensor([row.prompt], device=device)
    last_only: dict[str, Any] = {"logits_to_keep": 1} if takes_logits_to_keep(model) else {}
    cache: Any = None
    remembers = True
    goes_on = row.limits.context > len(row.prompt)
    while goes_on:
        with torch.inference_mode():
            given = (
                {"past_key_values": cache, "use_cache": True} if remembers else {"use_cache": False}
            )
            output = model(input_ids=ids, **given, **last_only)
            cache = getattr(output, "past_key_values", None)
            remembers = cache is not None
            [token] = draw_tokens([row], output.logits[:, -1]).tolist()
        known = len(row.answer.ids)
        goes_on = row.take(token)
        if len(row.answer.ids) > known:
            yield row, token
        next_ids = torch.tensor([[token]], device=device)
        ids = next_ids if remembers else torch.cat((ids, next_ids), dim=1)
    row.has_ended = True
    yield row, None


@torch.inference_mode()
def _try(model: "PreTrainedModel") -> str:
    """Compare three short texts that are answered together with each computed whole."""
    if told := why_no_own_mask(model):
        return told
    most = min(int(getattr(model.config.get_text_config(), "vocab_size", 100)), 1000)
    begin = [n % most for n in range(3, 3 + SHORTEST_PREFIX)]
    prompts = [[*begin, *(n % most for n in range(20, 20 + length))] for length in (1, 5, 3)]
    sampling, limits = Sampling(max_new_tokens=4), Limits([], 1024)
    rows = [
        _Tried(number, prompt, Generated(), sampling, limits, model.device)
        for number, prompt in enumerate(prompts)
    ]
    try:
        for _ in ContinuousBatch(model, rows, watcher=_keep_logits).run():
            pass
    except Exception as error:  # a layout may refuse what it does not know in any way
        return f"its layout does not take rows of different lengths ({type(error).__name__})"
    if not all(_is_as_computed_whole(model, row) for row in rows):
        return "its layout computes something else for rows of different lengths"
    return ""


class _Tried(Row):
    """A row that keeps what its last token was drawn from."""

    __slots__ = ("logits", "read")
    logits: torch.Tensor
    read: list[int]


def _keep_logits(rows: Sequence[Row], logits: torch.Tensor) -> None:
    for row, one in zip(rows, logits, strict=True):
        assert isinstance(row, _Tried)
        row.read, row.logits = [*row.prompt, *row.answer.ids], one.clone()


def _is_as_computed_whole(model: "PreTrainedModel", row: _Tried) -> bool:
    text = torch.tensor([row.read], device=model.device)
    whole = model(input_ids=text, use_cache=False).logits[0, -1]
    rough = 1e-3 if model.dtype == torch.float32 else 0.1
    return torch.allclose(row.logits, whole, rtol=rough, atol=rough * float(whole.abs().max()))
