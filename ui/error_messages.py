"""A user's mistake becomes a message on the page. Knows no screen in particular."""

import functools
import html
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from inspect import isgeneratorfunction
from typing import Any, ParamSpec, TypeVar, cast

import gradio as gr

from core.errors import ReviewError, UserError
from core.text import holds_half_character
from ui.services import sentence

P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger(__name__)
_LARGEST = 2**53  # whole numbers that a browser knows exactly


def shows_user_errors(handler: Callable[P, R]) -> Callable[P, R]:
    """Show a UserError that a handler raises as a notice with its one sentence; other errors stay
    bugs.
    """
    if isgeneratorfunction(handler):
        return cast("Callable[P, R]", _wrap_generator(handler))

    @functools.wraps(handler)
    def wrapped(*values: P.args, **named: P.kwargs) -> R:
        try:
            _check_values(values)
            return handler(*values, **named)
        except UserError as error:
            raise _notice(error) from error

    return wrapped


def answers_errors(server_function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a server function answer ``{"error": sentence}`` instead of raising: a raise reaches no
    page.
    """

    @functools.wraps(server_function)
    def wrapped(question: object = None, *values: Any, **named: Any) -> Any:
        try:
            if not isinstance(question, dict):
                raise ReviewError("The page asks in a way that is not understood: reload it.")
            _check_values((question,))
            return server_function(question, *values, **named)
        except UserError as error:
            return {"error": sentence(error)}
        except Exception:  # the page must hear of it; the log has the rest
            log.exception("A server function failed")
            return {"error": "Something went wrong in Fuata; its terminal says more."}

    return wrapped


def _wrap_generator(handler: Callable[..., Generator[Any, None, None]]) -> Any:
    @functools.wraps(handler)
    def wrapped(*values: Any, **named: Any) -> Generator[Any, None, None]:
        try:
            _check_values(values)
            yield from handler(*values, **named)
        except UserError as error:
            raise _notice(error) from error

    return wrapped


def whole_number(question: Mapping[str, Any], name: str, otherwise: int | None = None) -> int:
    """Return a field of a question that is to be a whole number.

    Raises ReviewError for anything else.
    """
    value = question.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LARGEST:
        raise ReviewError(
            f"The page asks in a way that is not understood ('{name}' is no whole number): "
            "reload it."
        )
    return value


def text(question: Mapping[str, Any], name: str) -> str:
    """Return a field of a question that is to be text, '' where it is not there.

    Raises ReviewError for anything else.
    """
    value = question.get(name, "")
    if not isinstance(value, str):
        raise ReviewError(
            f"The page asks in a way that is not understood ('{name}' is no text): reload it."
        )
    return value


def _check_values(values: Sequence[object]) -> None:
    """Raise ReviewError for what neither a file nor a database can hold."""
    if any(holds_half_character(value) for value in values):
        raise ReviewError(
            "This text has half a character in it (a lone surrogate), which cannot be kept: "
            "write it anew."
        )


def _notice(error: UserError) -> gr.Error:
    return gr.Error(
        html.escape(sentence(error)), print_exception=False, title="Please check", duration=12
    )
