"""The pair screen's server side: pairs out, verdicts in.

Everything that comes from the page is checked here.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import gradio as gr

from core.errors import ReviewError
from review.domain.rating import MOST_STARS, TAGS, make_rating
from review.judging.judge import Judge, Judged, Pair
from ui.error_messages import answers_errors, text, whole_number
from ui.gate import signed_in_user
from ui.review.markdown import render
from ui.services import Services

Question = dict[str, Any]
_MOST_PAIRS = 10
_MOST_LISTED = 50
_MOST_NAMED = 100_000  # pairs that a page says it has or has passed over
_LISTED_PROMPT = 120  # characters
_BLANK_LINES = re.compile(r"\A(?:[^\S\n]*\n)+")


def pair_functions(services: Services) -> list[Callable[..., Any]]:
    """Return the functions that judge.js calls by name."""

    @answers_errors
    def fetch_pairs(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        judge = _judge(services, question, request)
        count = min(max(whole_number(question, "count", 1), 0), _MOST_PAIRS)
        pairs = judge.next_pairs(
            count, _ids(question, "skipped"), _ids(question, "known"), repeats=True
        )
        done, total = judge.shown_progress()
        about = {"tags": list(TAGS), "stars": MOST_STARS, "rubric": asdict(judge.rubric)}
        return {
            "pairs": [pair_object(pair) for pair in pairs],
            "done": done,
            "total": total,
            **about,
        }

    @answers_errors
    def save_verdict(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        judge = _judge(services, question, request)
        rating = make_rating(
            question.get("verdict"),
            question.get("comment", ""),
            question.get("correction", ""),
            a=question.get("a"),
            b=question.get("b"),
            flagged=question.get("flagged"),
            unblinded=question.get("unblinded"),
        )
        pair = whole_number(question, "pair")
        judge.give(pair, rating, changes=question.get("changes") is True)
        done, total = judge.shown_progress()
        return {"saved": True, "pair": pair, "done": done, "total": total}

    @answers_errors
    def undo_verdict(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        judge = _judge(services, question, request)
        pair, rating = judge.undo(), None
        with suppress(
            ReviewError
            # a pair seen again is judged anew; else there is a verdict still where only its change
            # was
            # taken back
        ):
            rating = None if pair.again else asdict(judge.judged(pair.id).rating)
        return {"pair": pair_object(pair), "rating": rating, "done": judge.shown_progress()[0]}

    return [fetch_pairs, save_verdict, undo_verdict, *_history_functions(services)]


def _history_functions(services: Services) -> list[Callable[..., Any]]:
    """Return those that tell what was judged, by oneself and how much by others."""

    @answers_errors
    def list_verdicts(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        judge = _judge(services, question, request)
        found = judge.history(_MOST_LISTED, whole_number(question, "before", 0))
        return {
            "verdicts": [_listed(judged) for judged in found],
            "more": len(found) == _MOST_LISTED,
        }

    @answers_errors
    def open_verdict(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        pair = whole_number(question, "pair")
        judged = _judge(services, question, request).judged(pair)
        return {"pair": pair_object(judged.pair), "rating": asdict(judged.rating)}

    @answers_errors
    def list_people(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        del request  # how much each has judged is no secret; what, is
        found = services.reviews.people(text(question, "review"))
        # that others differ would tell how they judge
        told = ("people", "pairs", "ratings", "response_mode")
        return {name: found[name] for name in told}

    return [list_verdicts, open_verdict, list_people]


def pair_object(pair: Pair) -> dict[str, Any]:
    """Return what the page may know of a pair; nothing in it tells who wrote which side, or whether
    it was seen before.
    """
    texts = {"a": _bare(pair.a), "b": _bare(pair.b) if pair.response_mode == "pairs" else ""}
    shown = {
        "named": dict(zip("ab", pair.named, strict=True)),
        "rendered": {side: render(text) for side, text in texts.items()},
    }
    return {
        "id": pair.id,
        "response_mode": pair.response_mode,
        "prompt": pair.prompt,
        "expected": pair.expected,
        **texts,
        **shown,
    }


def _bare(text: str) -> str:
    """Return a response without blank lines around it, which say nothing but who wrote it."""
    return _BLANK_LINES.sub("", text).rstrip()


def _listed(judged: Judged) -> dict[str, Any]:
    prompt = " ".join(judged.pair.prompt.split())
    mark = {
        "flagged": judged.rating.flagged,
        "unblinded": judged.rating.unblinded,
        "comment": bool(judged.rating.comment),
    }
    return {
        "pair": judged.pair.id,
        "prompt": prompt[:_LISTED_PROMPT],
        "verdict": judged.rating.verdict,
        "stars": judged.rating.a.stars,
        **mark,
    }


def _judge(services: Services, question: Question, request: gr.Request | None) -> Judge:
    reviewer = signed_in_user(request) or text(question, "reviewer")
    return Judge(
        services.reviews,
        text(question, "review"),
        reviewer,
        adjudicates=question.get("adjudicates") is True,
    )


def _ids(question: Question, name: str) -> set[int]:
    values = question.get(name, [])
    numbers = values[:_MOST_NAMED] if isinstance(values, list) else []
    return {value for value in numbers if isinstance(value, int) and abs(value) < 2**53}
