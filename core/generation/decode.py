"""Answers as ids: many prompts at once, or one streamed. Knows no text."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

from core.generation.continuous_batch import SHORTEST_PREFIX, ContinuousBatch
from core.generation.rows import Generated, Limits, Row, Step
from core.generation.sampling import Sampling, sample_next_token
from core.models.load import takes_logits_to_keep
from core.models.masks import why_no_own_mask

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_way: "WeakKeyDictionary[PreTrainedModel, str]" = WeakKeyDictionary()


def stream_ids(
    model: "PreTrainedModel",
    prompt: Sequence[int],
    sampling: Sampling,
    limits: Limits,
    answer: Generated | None = None,
) -> Iterator[int]:
    """Yield the answer's ids one by one; an end token, a stop text, the context's end or the limit
    ends the stream. ``answer`` is filled on the way.
    """
    answer = Generated() if answer is None else answer
    for _, token in _decode(model, [prompt], [answer], sampling, limits):
        if token is not None:
            yield token


def generate_ids(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    limits: Limits,
    should_stop: Callable[[], bool],
) -> list[Generated]:
    """Answer all prompts; each answer is the same in whatever company."""
    answers = [Generated() for _ in prompts]
    for _ in answer_ids(model, prompts, answers, sampling, limits, should_stop):
        pass
    return answers


def answer_ids(  # noqa: PLR0913 - prompts, answers and seeds stand for each other
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Generated],
    sampling: Sampling,
    limits: Limits,
    should_stop: Callable[[], bool],
    seeds: Sequence[int] | None = None,
) -> Iterator[int]:
    """Fill ``answers``, one for each prompt, and yield the number of each as it is done; what was
    stopped within a step is marked and not yielded.

    ``seeds``, one for each prompt, stand in for that of ``sampling``.
    """
    done: set[int] = set()
    if not should_stop():
        for row, token in _decode(model, prompts, answers, sampling, limits, seeds):
            if token is None:
                done.add(row)
                yield row
            if should_stop():
                break
    for row, answer in enumerate(answers):
        if row not in done and should_stop():
            answer.finish_reason = "stopped"


def reason_for_one_at_a_time(model: "PreTrainedModel") -> str:
    """Return why a model's prompts are answered one after the other, '' where they are not.

    Some layouts carry along what knows nothing of rows of other lengths; each model is tried once.
    """
    if model not in _way:
        _way[model] = _try(model)
    return _way[model]


def _decode(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Generated],
    sampling: Sampling,
    limits: Limits,
    seeds: Sequence[int] | None = None,
) -> Iterator[Step]:
    rows = (
        Row(
            number,
            list(prompt),
            answers[number],
            replace(sampling, seed=seeds[number]) if seeds else sampling,
            model.device,
        )
        for number, prompt in enumerate(prompts)
    )
    if reason_for_one_at_a_time(model):
        for row in rows:
            yield from _answer_alone(model, row, sampling, limits)
        return
    yield from ContinuousBatch(model, sampling, limits, list(rows)).run()


def _answer_alone(
    model: "PreTrainedModel", row: Row, sampling: Sampling, limits: Limits
) -> Iterator[Step]:
    """Answer one prompt with the model's own cache, or anew for every token where it has none."""
    device = model.device
    ids = torch.tensor([row.prompt], device=device)
    last_only: dict[str, Any] = {"logits_to_keep": 1} if takes_logits_to_keep(model) else {}
    cache: Any = None
    remembers = True
    goes_on = limits.context > len(row.prompt)
    while goes_on:
        with torch.inference_mode():
            given = (
                {"past_key_values": cache, "use_cache": True} if remembers else {"use_cache": False}
            )
            output = model(input_ids=ids, **given, **last_only)
            cache = getattr(output, "past_key_values", None)
            remembers = cache is not None
            [token] = sample_next_token(
                output.logits[:, -1], sampling, [row.generator], [row.seen]
            ).tolist()
        known = len(row.answer.ids)
        goes_on = row.take(token, sampling, limits)
        if len(row.answer.ids) > known:
            yield row.number, token
        next_ids = torch.tensor([[token]], device=device)
        ids = next_ids if remembers else torch.cat((ids, next_ids), dim=1)
    yield row.number, None


@torch.inference_mode()
def _try(model: "PreTrainedModel") -> str:
    """Compare three short texts that are answered together with each computed whole."""
    if told := why_no_own_mask(model):
        return told
    most = min(int(getattr(model.config.get_text_config(), "vocab_size", 100)), 1000)
    begin = [n % most for n in range(3, 3 + SHORTEST_PREFIX)]
    prompts = [[*begin, *(n % most for n in range(20, 20 + length))] for length in (1, 5, 3)]
    sampling = Sampling(max_new_tokens=4)
    rows = [
        _Tried(n, prompt, Generated(), sampling, model.device) for n, prompt in enumerate(prompts)
    ]
    try:
        for _ in ContinuousBatch(model, sampling, Limits([], 1024), rows, _keep_logits).run():
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
