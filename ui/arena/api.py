"""The arena's server side: what arena.js asks for. Nothing that leaves it names a model before the
verdict. Knows no component.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gradio as gr

from core.errors import ReviewError
from review.domain.rating import check_reviewer
from ui.error_messages import answers_errors, text
from ui.gate import signed_in_user
from ui.services import Services

Question = dict[str, Any]


def arena_functions(services: Services, *, is_shared: bool) -> list[Callable[..., Any]]:
    """Return the functions that arena.js calls by name; on a page of reviewers, which ``is_shared``,
    battles begin only where the owner lets them.
    """
    battles = services.arena

    @answers_errors
    def begin_battle(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        person = _person(services, question, request)
        if is_shared and not battles.store.settings().shared:
            raise ReviewError("The owner does not share the arena.")
        return {"key": battles.begin(person, text(question, "prompt"))}

    @answers_errors
    def go_on(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        person = _person(services, question, request)
        battles.go_on(text(question, "key"), person, text(question, "prompt"))
        return {"done": True}

    @answers_errors
    def read_battle(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        person = _person(services, question, request)
        return asdict(battles.look(text(question, "key"), person))

    @answers_errors
    def vote(question: Question, request: gr.Request | None = None) -> dict[str, Any]:
        person = _person(services, question, request)
        return asdict(battles.vote(text(question, "key"), person, text(question, "verdict")))

    return [begin_battle, go_on, read_battle, vote]


def _person(services: Services, question: Question, request: gr.Request | None) -> str:
    """Return who battles: whoever signed in, else whom the page names. Raises ReviewError."""
    name = check_reviewer(signed_in_user(request) or text(question, "person"))
    return services.reviews.known_reviewer(name)
