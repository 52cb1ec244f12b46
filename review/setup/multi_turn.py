"""Prompts of several turns, as MT-bench has them: each is asked after the answer to the one before.

Knows no table.
"""

from collections.abc import Callable, Iterator, Sequence

from core.datasets.conversation import Turn, turn_text
from core.generation.chat_model import Response, in_order
from core.generation.sampling import Sampling

Respond = Callable[  # prompts to their numbers and responses, each as soon as it is there
    [Sequence[Sequence[Turn]], Sampling, Callable[[], bool]], Iterator[tuple[int, Response]]
]
_BATCH = 32  # prompts whose rounds are gone through together, so that what is answered is kept soon
_THEN_ASKED = "\n\n── Then asked: {question}\n\n"


def ask_in_rounds(
    respond: Respond,
    prompts: Sequence[Sequence[Turn]],
    sampling: Sampling,
    should_stop: Callable[[], bool],
) -> Iterator[tuple[int, Response]]:
    """Yield every prompt's number and response as soon as it is there; where several user turns
    follow each other, the answers to all as one text.
    """
    rounds = [_rounds(turns) for turns in prompts]
    if all(len(one) == 1 for one in rounds):
        yield from respond([one[0] for one in rounds], sampling, should_stop)
        return
    for start in range(0, len(prompts), _BATCH):
        answers = _converse(respond, rounds[start : start + _BATCH], sampling, should_stop)
        yield from enumerate(answers, start)


def _converse(
    respond: Respond,
    batch: list[list[list[Turn]]],
    sampling: Sampling,
    should_stop: Callable[[], bool],
) -> Iterator[Response]:
    said: list[list[Turn]] = [[] for _ in batch]
    given: list[list[Response]] = [[] for _ in batch]
    for number in range(max(map(len, batch))):
        asked = [index for index, rounds in enumerate(batch) if number < len(rounds)]
        for index in asked:
            said[index] += batch[index][number]
        conversations = [said[index] for index in asked]
        answers = list(in_order(respond(conversations, sampling, should_stop)))
        if len(answers) < len(asked):
            return  # stopped: a conversation cut in the middle is no answer
        for index, answer in zip(asked, answers, strict=True):
            given[index].append(answer)
            said[index].append(Turn("assistant", answer.text))
    yield from (_together(rounds, answers) for rounds, answers in zip(batch, given, strict=True))


def _together(rounds: list[list[Turn]], answers: list[Response]) -> Response:
    if any(answer.finish_reason == "stopped" for answer in answers):
        return Response(answers[-1].prompt, "", 0, "stopped")
    text = answers[0].text
    for turns, answer in zip(rounds[1:], answers[1:], strict=True):
        text += _THEN_ASKED.format(question=turn_text(turns[-1], named=False)) + answer.text
    return Response(
        answers[-1].prompt,
        text,
        sum(answer.tokens for answer in answers),
        answers[-1].finish_reason,
    )


def _rounds(turns: Sequence[Turn]) -> list[list[Turn]]:
    """Split turns after each user turn that another user turn follows."""
    rounds: list[list[Turn]] = [[]]
    for turn in turns:
        if turn.role == "user" and rounds[-1] and rounds[-1][-1].role == "user":
            rounds.append([])
        rounds[-1].append(turn)
    return rounds
