"""Prompt styles: Jinja chat templates in a sandbox. Knows no token ids and no tensors.

A style is a chat template in the dialect of transformers, so what is trained with is also what is
saved. The built-in ones stand in ``styles/``. A user turn may carry Alpaca's ``input`` beside its
``content``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from core.errors import StyleError
from core.prompts import sandbox
from core.prompts.built_in import BUILT_IN
from core.prompts.template_process import TemplateProcess
from core.text import shortened

_FOLDER = Path(__file__).with_name("styles")
_MAX_TEMPLATE_CHARACTERS = 100_000
_BOS_FRONT = "{{- bos_token -}}"
# A template with one of these may write another text than it is given, as those that take earlier
# reasoning out.
_LOOKS_INTO_TEXT = re.compile(
    r"\.(?:split|startswith|endswith|replace|find|partition)\(|\|\s*(?:replace|upper|lower|truncate)|\sin\s+\w+\.?content|<think>"
)


def today() -> str:
    """Return the date, as templates are told it."""
    return datetime.now(UTC).date().isoformat()


@dataclass(frozen=True, slots=True)
class Style:
    """A chat template together with the special tokens it is filled with."""

    name: str  # "alpaca", …, "model", or the path of a Jinja file
    template: str
    eos: str  # fills the template's ``eos_token``
    bos: str  # fills the template's ``bos_token``
    end: str  # text of the token that ends an answer; "" when there is none

    # the date (ISO) that a template is told: one for a whole run
    day: str = field(default_factory=today)

    @property
    def looks_into_text(self) -> bool:
        """Whether the template may write a text otherwise than it is given."""
        return not self.is_ours and _LOOKS_INTO_TEXT.search(self.template) is not None

    @property
    def is_ours(self) -> bool:
        """Whether the template ships with Fuata, whoever's model it was saved with."""
        return self.template in _our_templates()

    def fill(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        ask: bool,
        tools: Sequence[Any] | None = None,
    ) -> str:
        """Render messages to one string; ``ask`` opens the answer instead of closing it, ``tools``
        are those on offer.

        Raises StyleError.
        A template that is not ours is filled by a process that may be killed: it may loop.
        """
        values = {
            "messages": list(messages),
            "add_generation_prompt": ask,
            "eos_token": self.eos,
            "bos_token": self.bos,
            "tools": None if tools is None else list(tools),
            "documents": None,  # as transformers calls templates
        }
        try:
            if self.is_ours:
                return sandbox.fill(self.template, values, self.day)
            return _process().fill(self.template, values, self.day)
        except (
            Exception
        ) as error:  # a template is foreign code: whatever it raises is the template's fault
            said = shortened(str(error).removesuffix("."), 300)
            raise StyleError(
                f"The style '{shortened(self.name)}' cannot render this conversation: {said}."
            ) from error


@cache
def _process() -> TemplateProcess:
    """Return the process that all foreign templates are filled by."""
    return TemplateProcess()


@cache
def _our_templates() -> frozenset[str]:
    texts = [
        (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8").rstrip("\n") for name in BUILT_IN
    ]
    return frozenset([*texts, *(_BOS_FRONT + text for text in texts)])


def find_style(
    name: str,
    *,
    eos: str,
    bos: str = "",
    adds_bos: bool = False,
    specials: Sequence[str] = (),
    own_template: str = "",
) -> Style:
    """Return the style a user named.

    ``name`` is a built-in style, ``model`` (the checkpoint's own template, given as
    ``own_template``) or the path of a Jinja file. ``specials`` are the special tokens the
    vocabulary has. Raises StyleError when there is no such style.
    """
    if name in BUILT_IN:
        _, own_end = BUILT_IN[name]
        front = _BOS_FRONT if adds_bos else ""
        template = front + (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8").rstrip("\n")
        end = own_end if own_end in specials else eos
        return Style(name, template, end, bos, end)
    if name == "model":
        if not own_template:
            raise StyleError(
                f"This model has no chat template of its own: choose {', '.join(BUILT_IN)}."
            )
        return Style(name, own_template, eos, bos, eos)
    return Style(name, _read_template(Path(name)), eos, bos, eos)


def _read_template(path: Path) -> str:
    known = ", ".join([*BUILT_IN, "model"])
    try:
        is_template = path.suffix in {".jinja", ".jinja2", ".j2"} and path.is_file()
        text = path.read_text(encoding="utf-8", errors="replace") if is_template else ""
    except (OSError, ValueError):  # too long for a path, a NUL in it, or not ours to read
        is_template = False
    if not is_template:
        raise StyleError(
            f"There is no style '{shortened(str(path))}': choose {known}, or give the path of a "
            ".jinja file."
        )
    if len(text) > _MAX_TEMPLATE_CHARACTERS:
        raise StyleError(f"{path} is larger than any chat template: choose another file.")
    return text
