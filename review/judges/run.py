"""A review judged by a model: every pair in both orders, or every response; what was said before is
not asked again.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import ReviewError, StoppedError
from core.generation.model_cache import ModelCache
from core.storage.process_lock import held
from core.storage.workspace import Workspace, now
from review.domain.states import ReviewState
from review.judges.ask import AskedJudge, Said, ShouldStop
from review.judges.protocols import (
    Material,
    Protocol,
    read_comparison,
    read_grade,
)
from review.judges.store import ComparisonRow, JudgeRow, JudgeStore, ScoreRow, SideChoice
from review.store.reviews import ReviewStore

Tell = Callable[[int, int], None]  # questions that are answered, and how many there are
_AGAIN = "\n\nYour last reply could not be read. Keep to the form that is asked for."


@dataclass(frozen=True, slots=True)
class _Question:
    """One thing that a judge is asked."""

    about: int  # a pair's or a response's number
    is_turned: bool
    texts: tuple[str, ...]  # of a rubric one for each criterion


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingPlan:
    """What a judge would be asked, before it is."""

    questions: int  # in all; a pair is two, one for each order
    left: int  # not answered yet
    characters: int  # of those that are left, as the numbers below
    tokens_read: int | None  # by the judge's own tokenizer; None behind an address
    most_tokens_written: int  # what cannot be read is asked once more, which is not counted
    first: str  # the first question, word for word but for its random marks


def judge_review(  # noqa: PLR0913 - where, what, who, how, and whom to tell
    workspace: Workspace,
    name: str,
    model: str,
    protocol: Protocol,
    tell: Tell = lambda _done, _total: None,
    should_stop: ShouldStop = lambda: False,
    most: int = 0,
) -> JudgeRow:
    """Let a model judge a review, or go on with that; ``most`` are the first so many pairs or
    responses.

    Raises ReviewError where there is nothing to judge, StoppedError where it was stopped: what is
    said is kept.
    """
    store, asked = JudgeStore(ReviewStore(workspace)), AskedJudge(model, ModelCache(workspace))
    review_id, questions = _questions(workspace, store, name, protocol, most)
    judge = store.add(review_id, model, protocol, asked.facts())
    refusal = f"The judge '{model}' is judging '{name}' already: wait for it, or stop it."
    with held(workspace.judges / f"{judge['id']}.lock", refusal):
        left = _unanswered(store, judge["id"], protocol, questions)
        done = len(questions) - len(left)
        tell(done, len(questions))
        for one, said in _answers(asked, protocol, left, should_stop):
            _write_down(store, judge, protocol, one, said)
            done += 1
            tell(done, len(questions))
    if done < len(questions):
        raise StoppedError("Judging was stopped; what is said is kept.")
    return judge


def plan_judging(
    workspace: Workspace, name: str, model: str, protocol: Protocol, most: int = 0
) -> JudgingPlan:
    """Say what a judge would be asked; nothing is asked and nothing is kept.

    Raises ReviewError where there is nothing to judge, ModelError where there is no such model.
    """
    store, asked = JudgeStore(ReviewStore(workspace)), AskedJudge(model, ModelCache(workspace))
    review_id, questions = _questions(workspace, store, name, protocol, most)
    known = [
        one["id"]
        for one in store.of_review(review_id)
        if (one["model"], one["digest"]) == (model, protocol.digest)
    ]
    left = _unanswered(store, known[0], protocol, questions) if known else questions
    texts = [text for one in left for text in one.texts]
    return JudgingPlan(
        questions=len(questions), left=len(left), characters=sum(map(len, texts)),
        tokens_read=asked.count_tokens(texts),
        most_tokens_written=len(texts) * protocol.longest_answer,
        first=questions[0].texts[0],
    )  # fmt: skip


def _questions(
    workspace: Workspace, store: JudgeStore, name: str, protocol: Protocol, most: int
) -> tuple[int, list[_Question]]:
    """Return a review's number and what a judge of it is asked in all. Raises ReviewError."""
    reviews = ReviewStore(workspace)
    review = reviews.find(name)
    if review["state"] != ReviewState.READY:
        raise ReviewError(
            f"The review '{name}' is not ready to be judged: let it be answered first."
        )
    if review["response_mode"] != "pairs" and protocol.compares:
        raise ReviewError(
            f"The review '{name}' is of single responses, and '{protocol.name}' compares two: choose "
            "another protocol."
        )
    contenders = reviews.contenders(review["id"])
    hidden = frozenset(one.name for one in contenders if one.kind == "expected")
    questions = (
        _of_pairs(store.pairs(review["id"]), protocol, most, hidden)
        if protocol.compares
        else _of_responses(store.responses(review["id"]), protocol, most)
    )
    if not questions:
        raise ReviewError(f"The review '{name}' has nothing that '{protocol.name}' could judge.")
    return review["id"], questions


def _unanswered(
    store: JudgeStore, judge_id: int, protocol: Protocol, questions: Sequence[_Question]
) -> list[_Question]:
    known = (
        {(row["pair_id"], bool(row["is_turned"])) for row in store.comparisons(judge_id)}
        if protocol.compares
        else {(row["response_id"], False) for row in store.scores(judge_id)}
    )
    return [one for one in questions if (one.about, one.is_turned) not in known]


def _reference(pair: Mapping[str, Any], hidden: frozenset[str]) -> str:
    """Return the expected answer as a judge may see it: not where it is one of the two."""
    texts = {pair["first_text"].strip(), pair["second_text"].strip()}
    sides = {pair["first_contender"], pair["second_contender"]}
    tells = bool(sides & hidden) or pair["expected"].strip() in texts
    return "" if tells else str(pair["expected"])


def _of_pairs(
    pairs: Sequence[dict[str, Any]], protocol: Protocol, most: int, hidden: frozenset[str]
) -> list[_Question]:
    """Return both orders of every pair, but of those whose responses are the same; ``hidden`` are the
    contenders whose answers are the expected ones.
    """
    chosen = [pair for pair in pairs if pair["first_text"] != pair["second_text"]]
    return [
        _Question(
            pair["pair_id"],
            is_turned,
            protocol.questions(
                Material(
                    task=pair["prompt"], expected=_reference(pair, hidden),
                    first=pair["second_text" if is_turned else "first_text"],
                    second=pair["first_text" if is_turned else "second_text"],
                )
            ),
        )
        for pair in (chosen[:most] if most else chosen)
        for is_turned in (False, True)
    ]  # fmt: skip


def _of_responses(rows: Sequence[dict[str, Any]], protocol: Protocol, most: int) -> list[_Question]:
    return [
        _Question(
            row["response_id"],
            False,
            protocol.questions(
                Material(task=row["prompt"], first=row["text"], expected=row["expected"])
            ),
        )
        for row in (rows[:most] if most else rows)
    ]


def _answers(
    asked: AskedJudge, protocol: Protocol, questions: Sequence[_Question], should_stop: ShouldStop
) -> Iterator[tuple[_Question, list[Said]]]:
    """Yield each question with what was said to its texts; what cannot be read is asked once more."""
    said: dict[int, dict[int, Said]] = defaultdict(dict)
    places = [(n, k) for n, one in enumerate(questions) for k in range(len(one.texts))]
    for again in ("", _AGAIN):
        texts = [questions[n].texts[k] + again for n, k in places]
        unread = []
        for number, answer in _ask(asked, protocol, texts, should_stop):
            n, k = places[number]
            if not again and not _is_read(protocol, answer):
                unread.append((n, k))
                continue
            said[n][k] = answer
            if len(said[n]) == len(questions[n].texts):
                yield questions[n], [said[n][at] for at in sorted(said[n])]
        places = sorted(unread)


def _ask(
    asked: AskedJudge, protocol: Protocol, texts: Sequence[str], should_stop: ShouldStop
) -> Iterator[tuple[int, Said]]:
    if not texts:
        return iter(())
    if protocol.words:
        return asked.choose(texts, protocol.words, should_stop)
    return asked.write(texts, protocol.longest_answer, should_stop)


def _is_read(protocol: Protocol, said: Said) -> bool:
    read = read_comparison if protocol.compares else read_grade
    return read(protocol, said.text, said.shares or ()) is not None


def _write_down(
    store: JudgeStore, judge: JudgeRow, protocol: Protocol, one: _Question, said: Sequence[Said]
) -> None:
    if protocol.compares:
        store.add_comparison(_comparison(judge["id"], protocol, one, said[0]))
        return
    grades = [read_grade(protocol, answer.text, answer.shares or ()) for answer in said]
    known = [grade[0] for grade in grades if grade is not None]
    row: ScoreRow = {
        "judge_id": judge["id"], "response_id": one.about,
        "score": sum(known) / len(known) if len(known) == len(grades) else None,
        "levels": json.dumps(_levels(protocol, grades)),
        "said": "\n".join(answer.text for answer in said), "judged_at": now(),
    }  # fmt: skip
    store.add_score(row)


def _levels(protocol: Protocol, grades: Sequence[tuple[float, int] | None]) -> list[float | None]:
    """Return the level of each criterion of a rubric, or the place of the choice that was made."""
    if protocol.name == "rubric":
        return [grade and grade[0] for grade in grades]
    return [grade and grade[1] for grade in grades] if protocol.choices else []


def _comparison(judge_id: int, protocol: Protocol, one: _Question, said: Said) -> ComparisonRow:
    """Return a judgement from the side of the pair's first response, in whatever order it was asked."""
    read = read_comparison(protocol, said.text, said.shares or ())
    sides = {"a": "second", "b": "first"} if one.is_turned else {"a": "first", "b": "second"}
    choice: SideChoice = "error" if read is None else sides.get(read, "tie")  # type: ignore[assignment]
    preference = said.shares[1] if said.shares else None
    if preference is not None and one.is_turned:
        preference = 1 - preference
    return {
        "judge_id": judge_id, "pair_id": one.about, "is_turned": int(one.is_turned),
        "choice": choice, "preference": preference, "said": said.text, "judged_at": now(),
    }  # fmt: skip
