"""A person's mistake becomes a message on the page. Knows no screen in particular."""

import functools
import html
import logging
from collections.abc import Callable, Generator
from inspect import isgeneratorfunction
from typing import Any, ParamSpec, TypeVar, cast

import gradio as gr

from core.errors import UserError
from ui.services import sentence

P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger(__name__)


def shows_user_errors(handler: Callable[P, R]) -> Callable[P, R]:
    """Show a UserError that a handler raises as a notice with its one sentence; other errors stay bugs."""
    if isgeneratorfunction(handler):
        return cast("Callable[P, R]", _wrap_generator(handler))

    @functools.wraps(handler)
    def wrapped(*values: P.args, **named: P.kwargs) -> R:
        try:
            return handler(*values, **named)
        except UserError as error:
            raise _notice(error) from error

    return wrapped


def answers_errors(server_function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a server function answer ``{"error": sentence}`` instead of raising: a raise reaches no page."""

    @functools.wraps(server_function)
    def wrapped(*values: Any, **named: Any) -> Any:
        try:
            return server_function(*values, **named)
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
            yield from handler(*values, **named)
        except UserError as error:
            raise _notice(error) from error

    return wrapped


def _notice(error: UserError) -> gr.Error:
    return gr.Error(html.escape(sentence(error)), print_exception=False, title="Please check", duration=12)
