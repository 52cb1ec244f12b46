"""Scores are those of a plain forward pass, whatever is shared, cut or computed together."""

import random
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.models.prefix import shared_length
from core.models.tree import build_tree
from core.scoring.groups import group_sequences
from core.scoring.score import (
    Request,
    Score,
    reason_for_plain_passes,
    rolling_requests,
    score_all,
)
from tests.invariants.test_continuous_batch import ALONE, CONFIGS, model

pytestmark = pytest.mark.slow


def requests(seed: int = 3) -> list[Request]:
    """Questions of three subjects with examples in front, several answers each; lone texts too."""
    draw = random.Random(seed)
    found = []
    for _ in range(3):
        examples = [draw.randrange(1, 500) for _ in range(60)]
        for _ in range(4):
            question = [*examples, *(draw.randrange(1, 500) for _ in range(draw.randrange(3, 12)))]
            answers = [(draw.randrange(1, 500),) for _ in range(2)]
            answers.append(tuple(draw.randrange(1, 500) for _ in range(5)))
            found += [Request(tuple(question), answer) for answer in answers]
    found += [Request((draw.randrange(1, 500),), (7, 8)), Request((1, 2), (3,))]
    found += [found[0], Request(found[0].context, (*found[0].continuation, 9))]
    draw.shuffle(found)
    return found


@torch.no_grad()
def plainly(name: str, request: Request) -> Score:
    ids = torch.tensor([[*request.context, *request.continuation]])
    logits = model(name)(ids).logits[0, len(request.context) - 1 : -1].float()
    rows = logits.log_softmax(-1)
    tokens = rows[torch.arange(len(rows)), torch.tensor(request.continuation)]
    greedy = logits.argmax(-1).tolist() == list(request.continuation)
    return Score(float(tokens.sum()), greedy, tuple(tokens.tolist()))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("most", [1024, 40])
def test_scores_are_those_of_plain_passes(
    name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.scoring.score._MOST_NODES", most)
    assert bool(reason_for_plain_passes(model(name))) == (name in ALONE)
    asked = requests()[: 6 if name in ALONE else None]
    found = dict(score_all(model(name), asked, 256))
    assert sorted(found) == list(range(len(asked)))
    for number, request in enumerate(asked):
        expected = plainly(name, request)
        assert found[number].log_probability == pytest.approx(expected.log_probability, abs=1e-4)
        assert found[number].is_greedy == expected.is_greedy
        assert found[number].token_log_probabilities == pytest.approx(
            expected.token_log_probabilities, abs=1e-5 * 10
        )


def test_a_greedy_continuation_is_known_as_one() -> None:
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        for _ in range(3):
            ids = torch.cat((ids, model("llama")(ids).logits[:, -1:].argmax(-1)), dim=1)
    answer = tuple(ids[0, 3:].tolist())
    other = (*answer[:-1], (answer[-1] + 1) % 500)
    found = dict(score_all(model("llama"), [Request((5, 6, 7), a) for a in (answer, other)], 256))
    assert [found[0].is_greedy, found[1].is_greedy] == [True, False]


def test_a_context_too_long_loses_its_beginning() -> None:
    long = tuple(random.Random(1).randrange(1, 500) for _ in range(300))
    [(_, score)] = score_all(model("gpt2"), [Request(long, (3, 4))], 100)
    expected = plainly("gpt2", Request(long[-99:], (3, 4)))
    assert score.log_probability == pytest.approx(expected.log_probability, abs=1e-4)


def test_nothing_is_asked_of_nothing() -> None:
    for request in (Request((), (1,)), Request((1,), ())):
        with pytest.raises(ValueError, match="needs a context and a continuation"):
            list(score_all(model("llama"), [request], 256))


def test_a_stop_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.scoring.score._MOST_NODES", 40)
    calls = iter(range(100))
    found = list(score_all(model("llama"), requests(), 256, lambda: next(calls) >= 1))
    assert 0 < len(found) < len(requests())


@given(st.integers(1, 70), st.integers(1, 20))
def test_rolling_windows_predict_every_token_once(length: int, most: int) -> None:
    ids = list(range(1, length + 1))
    found = rolling_requests(ids, 0, most)
    assert [token for one in found for token in one.continuation] == ids
    for one in found:
        assert one.context and len(one.context) + len(one.continuation) <= most + 1
        whole = [0, *ids]
        at = whole.index(one.continuation[0])
        assert tuple(whole[at - len(one.context) : at]) == one.context
    assert found[0].context == (0,)


def test_rolling_windows_are_those_of_lm_eval() -> None:
    """By hand, for ten tokens and a model of four: each later window is as full as it may be."""
    found = rolling_requests(list(range(1, 11)), 0, 4)
    assert [(one.context, one.continuation) for one in found] == [
        ((0,), (1, 2, 3, 4)), ((4,), (5, 6, 7, 8)), ((6, 7, 8), (9, 10)),
    ]  # fmt: skip


TOKENS = st.lists(st.integers(0, 2), min_size=2, max_size=14)


@given(st.lists(TOKENS, min_size=1, max_size=12), st.integers(3, 20), st.integers(1, 4))
def test_every_sequence_is_in_one_group_and_whole_in_its_tree(
    sequences: list[list[int]], most: int, worth: int
) -> None:
    order = sorted(range(len(sequences)), key=sequences.__getitem__)
    caps = [len(one) - 1 for one in sequences]
    groups = list(group_sequences(sequences, order, caps, most, worth))
    assert sorted(n for group in groups for n in group.numbers) == list(range(len(sequences)))
    for group in groups:
        members = [sequences[n] for n in group.numbers]
        tree = build_tree(members, group.begun)
        sees = tree.sees(None)
        assert len(tree.ids) <= most or len(members) == 1
        for n, member, path in zip(group.numbers, members, tree.paths, strict=True):
            assert group.begun <= caps[n]
            assert member[: group.begun] == members[0][: group.begun]
            assert [tree.ids[node] for node in path] == member[group.begun :]
            assert [tree.depths[node] for node in path] == list(range(group.begun, len(member)))
            if path:
                assert sees[path[-1]].nonzero()[0].tolist() == path


@given(TOKENS, TOKENS)
def test_the_shared_length_is_where_two_part(one: list[int], other: list[int]) -> None:
    found = shared_length(one, other)
    assert one[:found] == other[:found]
    assert found == min(len(one), len(other)) or one[found] != other[found]


def test_a_window_hides_what_is_too_far() -> None:
    sees: Any = build_tree([[1, 2, 3, 4]], 0).sees(2)
    assert sees.tolist() == [
        [True, False, False, False], [True, True, False, False], [False, True, True, False],
        [False, False, True, True],
    ]  # fmt: skip
