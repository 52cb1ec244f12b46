"""The pair screen's server side: pairs out, verdicts in. Everything that comes from the page is checked here."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import gradio as gr

from core.errors import ReviewError
from review.judging import Judge, Judged, Pair
from review.rating import MOST_STARS, TAGS, make_rating
from ui.errors import answers_errors
from ui.review.markdown import render
from ui.services import Services

Question = dict[str, Any]
_MOST_PAIRS = 10
_MOST_LISTED = 50
_LISTED_PROMPT = 120  # characters


def pair_functions(services: Services) -> list[Callable[..., Any]]:
    """Return the functions that pair.js calls by name."""

    @answers_errors
    def fetch_pairs(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        judge = _judge(services, question, request)
        done, total = judge.progress()
        count = min(int(question.get("count", 1)), _MOST_PAIRS)
        pairs = judge.next_pairs(count, _ids(question, "skipped"), _ids(question, "known"), repeats=True)
        about = {"tags": list(TAGS), "stars": MOST_STARS, "rubric": asdict(judge.rubric)}
        return {"pairs": [pair_object(pair) for pair in pairs], "done": done, "total": total, **about}

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
            knew=question.get("knew"),
        )
        pair = question.get("pair")
        if not isinstance(pair, int):
            raise ReviewError("A verdict needs a pair.")
        if question.get("again") is True:
            judge.rate_again(pair, rating)
        else:
            judge.rate(pair, rating)
        return {"saved": True, "pair": pair, "done": judge.progress()[0]}

    @answers_errors
    def undo_verdict(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        judge = _judge(services, question, request)
        pair, rating = judge.undo(), None
        with suppress(
            ReviewError
        ):  # a pair seen again is judged anew; else there is a verdict still where only its change was taken back
            rating = None if pair.again else asdict(judge.judged(pair.id).rating)
        return {"pair": pair_object(pair), "rating": rating, "done": judge.progress()[0]}

    return [fetch_pairs, save_verdict, undo_verdict, *_history_functions(services)]


def _history_functions(services: Services) -> list[Callable[..., Any]]:
    """Return those that tell what was judged, by oneself and how much by others."""

    @answers_errors
    def list_verdicts(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        judge = _judge(services, question, request)
        before = question.get("before", 0)
        found = judge.history(_MOST_LISTED, before if isinstance(before, int) else 0)
        return {"verdicts": [_listed(judged) for judged in found], "more": len(found) == _MOST_LISTED}

    @answers_errors
    def open_verdict(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        pair = question.get("pair")
        if not isinstance(pair, int):
            raise ReviewError("Say which pair.")
        judged = _judge(services, question, request).judged(pair)
        return {"pair": pair_object(judged.pair), "rating": asdict(judged.rating)}

    @answers_errors
    def list_people(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        del request  # how much each has judged is no secret; what, is
        found = services.reviews.people(str(question.get("review", "")))
        told = ("people", "pairs", "ratings", "answers")  # that others differ would tell how they judge
        return {name: found[name] for name in told}

    return [list_verdicts, open_verdict, list_people]


def pair_object(pair: Pair) -> dict[str, Any]:
    """Return what the page may know of a pair; nothing in it tells who wrote which side."""
    texts = {"a": pair.a, "b": pair.b} if pair.answers == "pairs" else {"a": pair.a, "b": ""}
    shown = {"named": dict(zip("ab", pair.named, strict=True)), "rendered": {side: render(text) for side, text in texts.items()}}
    return {
        "id": pair.id,
        "answers": pair.answers,
        "again": pair.again,
        "prompt": pair.prompt,
        "expected": pair.expected,
        **texts,
        **shown,
    }


def _listed(judged: Judged) -> dict[str, Any]:
    prompt = " ".join(judged.pair.prompt.split())
    mark = {"flagged": judged.rating.flagged, "knew": judged.rating.knew, "comment": bool(judged.rating.comment)}
    return {
        "pair": judged.pair.id,
        "prompt": prompt[:_LISTED_PROMPT],
        "verdict": judged.rating.verdict,
        "stars": judged.rating.a.stars,
        **mark,
    }


def signed_in_user(request: gr.Request | None) -> str | None:
    """Return the user who signed in, or None when Fuata asks for no password.

    Server functions get the raw web request in place of Gradio's own, so it has no ``username``; the session's token is
    looked up as Gradio does it.
    """
    if request is None:
        return None
    app = request.app
    tokens, cookie_id = getattr(app, "tokens", {}), getattr(app, "cookie_id", "")
    for name in (f"access-token-{cookie_id}", f"access-token-unsecure-{cookie_id}"):
        if name in request.cookies and request.cookies[name] in tokens:
            return str(tokens[request.cookies[name]])
    return None


def _judge(services: Services, question: Question, request: gr.Request | None) -> Judge:
    reviewer = signed_in_user(request) or str(question.get("reviewer", ""))
    return Judge(services.reviews, str(question.get("review", "")), reviewer, settles=question.get("settles") is True)


def _ids(question: Question, name: str) -> set[int]:
    values = question.get(name, [])
    return {value for value in values if isinstance(value, int)} if isinstance(values, list) else set()
