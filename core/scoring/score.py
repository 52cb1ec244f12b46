"""The log-probabilities of continuations given contexts: many at once, what begins alike computed
once, the output layer asked only where a continuation is predicted. Knows no text.

Shapes: N nodes of a tree, D tokens computed before it, W positions whose logits are wanted, V
vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from transformers.cache_utils import DynamicCache

from core.models.masks import why_no_own_mask
from core.models.prefix import Beginning
from core.models.tree import build_tree, read_tree
from core.scoring.groups import Group, group_sequences

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_MOST_NODES = 512  # that are computed at once
_WORTH = 32  # shared tokens that are worth a go of their own
_ROWS_OF_LOGITS = 256  # that are looked at together: a vocabulary is wide
_usable: "WeakKeyDictionary[PreTrainedModel, str]" = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Request:
    """A continuation whose probability is wanted after a context; neither may be empty."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """What a model makes of a continuation."""

    log_probability: float  # of all of it, nats
    is_greedy: bool  # each of its tokens is the likeliest at its place
    token_log_probabilities: tuple[float, ...]


def score_all(
    model: "PreTrainedModel",
    requests: Sequence[Request],
    max_length: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[int, Score]]:
    """Yield every request's number and score, as they are computed; contexts are cut at their
    beginning where a model takes only ``max_length`` tokens.

    Raises ValueError for an empty context or continuation.
    """
    fitted = [_fitted(request, max_length) for request in requests]
    if reason_for_plain_passes(model):
        yield from _plain(model, fitted, should_stop)
        return
    # a continuation's last token predicts nothing that is wanted
    sequences = [(*one.context, *one.continuation[:-1]) for one in fitted]
    caps = [len(one.context) - 1 for one in fitted]  # the last of a context predicts the first
    order = sorted(range(len(fitted)), key=sequences.__getitem__)
    beginning = Beginning(model)
    for group in group_sequences(sequences, order, caps, _MOST_NODES, _WORTH):
        if should_stop():
            return
        members = [sequences[number] for number in group.numbers]
        cache = beginning.computed(members[0][: group.begun])
        yield from _score_group(model, fitted, members, group, cache)


def rolling_requests(ids: Sequence[int], prefix: int, max_length: int) -> list[Request]:
    """Return the requests whose log-probabilities add up to that of a whole text.

    Every token is predicted once. A text longer than ``max_length`` is gone through in windows that
    do not overlap but by one token of context; the first begins after ``prefix``. As lm-eval has
    it.
    """
    first = tuple(ids[:max_length])
    found = [Request((prefix,), first)] if first else []
    done = len(first)
    while done < len(ids):
        end = min(done + max_length, len(ids))
        context = tuple(ids[max(end - max_length - 1, 0) : done])
        found.append(Request(context, tuple(ids[done:end])))
        done = end
    return found


def reason_for_plain_passes(model: "PreTrainedModel") -> str:
    """Return why a model's requests are computed one by one, '' where they are not; each is tried
    once.
    """
    if model not in _usable:
        _usable[model] = _try(model)
    return _usable[model]


def _fitted(request: Request, max_length: int) -> Request:
    if not request.context or not request.continuation:
        raise ValueError("a request needs a context and a continuation")
    continuation = request.continuation[-max_length:]
    room = max(max_length + 1 - len(continuation), 1)
    return Request(request.context[-room:], continuation)


@torch.inference_mode()
def _score_group(
    model: "PreTrainedModel",
    requests: Sequence[Request],
    members: Sequence[Sequence[int]],
    group: Group,
    beginning: DynamicCache | None,
) -> Iterator[tuple[int, Score]]:
    tree = build_tree(members, group.begun)
    wanted = [
        path[len(requests[number].context) - 1 - group.begun :]
        for number, path in zip(group.numbers, tree.paths, strict=True)
    ]
    nodes = sorted({node for path in wanted for node in path})
    place = {node: row for row, node in enumerate(nodes)}
    rows = [place[node] for path in wanted for node in path]
    targets = [token for number in group.numbers for token in requests[number].continuation]
    scores, greedy = _look_up(read_tree(model, tree, nodes, beginning)[1], rows, targets)
    at = 0
    for number in group.numbers:
        end = at + len(requests[number].continuation)
        yield number, Score(sum(scores[at:end]), all(greedy[at:end]), tuple(scores[at:end]))
        at = end


def _look_up(
    logits: torch.Tensor, rows: Sequence[int], targets: Sequence[int]
) -> tuple[list[float], list[bool]]:
    """Return the log-probability of each target at its row, and whether it is the likeliest."""
    place = torch.tensor(rows, device=logits.device)
    wanted = torch.tensor(targets, device=logits.device)
    sums, likeliest = [], []
    for start in range(0, len(logits), _ROWS_OF_LOGITS):
        part = logits[start : start + _ROWS_OF_LOGITS]
        sums.append(part.float().logsumexp(dim=-1))
        likeliest.append(part.argmax(dim=-1))
    found = logits[place, wanted].float() - torch.cat(sums)[place]
    return found.tolist(), (torch.cat(likeliest)[place] == wanted).tolist()


@torch.inference_mode()
def _plain(
    model: "PreTrainedModel", requests: Sequence[Request], should_stop: Callable[[], bool]
) -> Iterator[tuple[int, Score]]:
    """Score one request after the other by a whole pass each."""
    for number, request in enumerate(requests):
        if should_stop():
            return
        ids = torch.tensor([[*request.context, *request.continuation[:-1]]], device=model.device)
        logits = model(input_ids=ids, use_cache=False).logits[0, len(request.context) - 1 :]
        scores, greedy = _look_up(logits, range(len(logits)), request.continuation)
        yield number, Score(sum(scores), all(greedy), tuple(scores))


def _try(model: "PreTrainedModel") -> str:
    """Compare a small tree with whole passes."""
    if told := why_no_own_mask(model):
        return told
    most = min(int(getattr(model.config.get_text_config(), "vocab_size", 100)), 1000)
    begin = tuple(n % most for n in range(5, 25))
    requests = [
        Request((*begin, *ends), answer)
        for ends in ((1,), (2, 3, 4))
        for answer in ((7 % most,), (8 % most, 9 % most, 5))
    ]
    sequences = [(*one.context, *one.continuation[:-1]) for one in requests]
    order = sorted(range(len(requests)), key=sequences.__getitem__)
    try:
        cache = Beginning(model).computed(begin[:12])
        members = [sequences[number] for number in order]
        found = dict(_score_group(model, requests, members, Group(order, 12), cache))
    except Exception as error:  # a layout may refuse what it does not know in any way
        return f"its layout does not take a tree ({type(error).__name__})"
    rough = 1e-3 if model.dtype == torch.float32 else 0.3
    for number, score in _plain(model, requests, lambda: False):
        if abs(found[number].log_probability - score.log_probability) > rough:
            return "its layout computes something else in a tree"
    return ""
