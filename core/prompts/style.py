"""Prompt styles: Jinja chat templates in a sandbox. Knows no token ids and no tensors.

A style is a chat template in the dialect of transformers, so what is trained with is also what is saved. The built-in
ones stand in ``styles/``. A user turn may carry Alpaca's ``input`` beside its ``content``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from core.errors import StyleError

_FOLDER = Path(__file__).with_name("styles")
# Each style's title and its own end-of-turn token, used where the checkpoint's vocabulary has it.
BUILT_IN = {
    "alpaca": ("Alpaca", ""),
    "phi3": ("Phi-3", "<|end|>"),
    "chatml": ("ChatML", "<|im_end|>"),
    "llama3": ("Llama 3", "<|eot_id|>"),
}
_MAX_TEMPLATE_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True)
class Style:
    """A chat template together with the special tokens it is filled with."""

    name: str  # "alpaca", …, "model", or the path of a Jinja file
    template: str
    eos: str  # fills the template's ``eos_token``
    bos: str  # fills the template's ``bos_token``
    end: str  # text of the token that ends an answer; "" when there is none

    def fill(self, messages: Sequence[Mapping[str, str]], *, ask: bool) -> str:
        """Render messages to one string; ``ask`` opens the answer instead of closing it. Raises StyleError."""
        try:
            return _compile(self.template).render(
                messages=list(messages), add_generation_prompt=ask, eos_token=self.eos, bos_token=self.bos
            )
        except StyleError:
            raise
        except Exception as error:  # a template is foreign code: whatever it raises is the template's fault
            raise StyleError(f"The style '{self.name}' cannot render this conversation: {error}.") from error


def find_style(
    name: str, *, eos: str, bos: str = "", adds_bos: bool = False, specials: Sequence[str] = (), own_template: str = ""
) -> Style:
    """Return the style a person named.

    ``name`` is a built-in style, ``model`` (the checkpoint's own template, given as ``own_template``) or the path of a
    Jinja file. ``specials`` are the special tokens the vocabulary has. Raises StyleError when there is no such style.
    """
    if name in BUILT_IN:
        _, own_end = BUILT_IN[name]
        front = "{{- bos_token -}}" if adds_bos else ""
        template = front + (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8").rstrip("\n")
        end = own_end if own_end in specials else eos
        return Style(name, template, end, bos, end)
    if name == "model":
        if not own_template:
            raise StyleError("This model has no chat template of its own: choose alpaca, phi3, chatml or llama3.")
        return Style(name, own_template, eos, bos, eos)
    return Style(name, _read_template(Path(name)), eos, bos, eos)


def _read_template(path: Path) -> str:
    known = ", ".join([*BUILT_IN, "model"])
    if path.suffix not in {".jinja", ".jinja2", ".j2"} or not path.is_file():
        raise StyleError(f"There is no style '{path}': choose {known}, or give the path of a .jinja file.")
    text = path.read_text(encoding="utf-8", errors="replace")
    if len(text) > _MAX_TEMPLATE_CHARACTERS:
        raise StyleError(f"{path} is larger than any chat template: choose another file.")
    _compile(text)
    return text


@lru_cache(maxsize=32)
def _compile(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.globals["raise_exception"] = _raise
    try:
        return environment.from_string(template)
    except TemplateError as error:
        raise StyleError(f"The template is not valid Jinja: {error}.") from error


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)
