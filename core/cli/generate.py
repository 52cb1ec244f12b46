"""Rows of a file, or one instruction, become answers as plain objects.

Knows no screen and no database.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from core.datasets.conversation import Example, Turn
from core.errors import ModelError
from core.generation.chat_model import ChatModel, Response
from core.generation.sampling import Sampling

Object = dict[str, Any]


def answer_rows(
    chat_model: ChatModel, examples: Sequence[Example], sampling: Sampling
) -> Iterator[Object]:
    """Yield one object per row, in the order of the rows."""
    responses = chat_model.respond_all(
        [example.prompt for example in examples], sampling, lambda: False
    )
    for example, response in zip(examples, responses, strict=True):
        yield {"row": example.row, **_object(response), "expected": example.answer}


def answer_prompt(
    chat_model: ChatModel, prompt: str, system: str, sampling: Sampling
) -> Iterator[Object]:
    """Yield the answer to one instruction.

    Raises ModelError when the prompt leaves no room for one.
    """
    turns = [Turn("system", system)] if system.strip() else []
    if not prompt.strip():
        raise ModelError("The prompt is empty: write an instruction.")
    for response in chat_model.respond_all(
        [[*turns, Turn("user", prompt)]], sampling, lambda: False
    ):
        if response.finish_reason == "prompt_too_long":
            raise ModelError(
                f"The prompt is longer than the {chat_model.context} tokens the model takes: "
                "shorten it."
            )
        yield {"row": 1, **_object(response)}


def _object(response: Response) -> Object:
    return {
        "prompt": response.prompt,
        "response": response.text,
        "tokens": response.tokens,
        "finish_reason": response.finish_reason,
    }
