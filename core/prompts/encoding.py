"""Segments become token ids with a loss mask. Knows no tensors.

Ordinary text is tokenised in the longest stretches between special tokens and the borders of answers, so the ids equal
those of the whole string, and the ids of a prompt are the same whether an answer follows or not.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.data.checks import RowLength
from core.data.examples import Example, Turn
from core.errors import StyleError
from core.models.catalogue import read_facts
from core.prompts.rendering import Segment, render
from core.prompts.style import BUILT_IN, Style, find_style
from core.prompts.tokenizer import Tokenizer, load_tokenizer

DEFAULT_STYLE = "alpaca"


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """One example as ids; ``trained[i]`` tells whether the loss sees ``ids[i]`` when the prompt is masked."""

    row: int
    ids: tuple[int, ...]
    trained: tuple[bool, ...]

    def targets(self, *, mask_prompt: bool) -> int:
        """Return how many of the row's tokens the loss sees; the first is never one, for nothing stands before it."""
        return sum(self.trained[1:]) if mask_prompt else len(self.ids) - 1

    def cut(self, max_tokens: int) -> "EncodedRow":
        """Return the row without the tokens beyond ``max_tokens``."""
        return EncodedRow(self.row, self.ids[:max_tokens], self.trained[:max_tokens])


@dataclass(frozen=True)
class PromptEncoder:
    """A tokenizer and a style: everything needed to turn conversations into ids."""

    tokenizer: Tokenizer
    style: Style

    @property
    def end_id(self) -> int | None:
        """The id of the token that ends an answer."""
        return self.tokenizer.special_ids.get(self.style.end)

    def encode_example(self, example: Example) -> EncodedRow:
        """Return prompt, answer and end token as ids. Raises StyleError, naming the row."""
        try:
            segments = render(self.style, example.turns, ask=False)
        except StyleError as error:
            raise StyleError(f"Row {example.row}: {error}") from error
        pairs = list(_tokenise(segments, self.tokenizer))
        return EncodedRow(example.row, tuple(i for i, _ in pairs), tuple(trained for _, trained in pairs))

    def encode_prompt(self, turns: Sequence[Turn]) -> list[int]:
        """Return the ids a model is asked with: a prefix of the ids it is trained on."""
        return [token_id for token_id, _ in _tokenise(render(self.style, turns, ask=True), self.tokenizer)]

    def prompt_text(self, turns: Sequence[Turn]) -> str:
        """Return the exact text a model is asked with."""
        return "".join(segment.text for segment in render(self.style, turns, ask=True))

    def example_text(self, example: Example) -> str:
        """Return the exact text a model is trained on."""
        return "".join(segment.text for segment in render(self.style, example.turns, ask=False))

    def measure(self, example: Example) -> RowLength:
        """Return a row's length in tokens."""
        encoded = self.encode_example(example)
        return RowLength(example.row, len(encoded.ids), sum(encoded.trained))


def load_encoder(folder: Path, style_name: str = "") -> PromptEncoder:
    """Return the encoder of a model folder under a style. Raises ModelError or StyleError.

    Without a style name it is the one the model was tuned with, else its own chat template, else Alpaca.
    """
    tokenizer = load_tokenizer(folder)
    tuned_with = str(read_facts(folder).get("style", ""))
    style_name = style_name or tuned_with or ("model" if tokenizer.chat_template else DEFAULT_STYLE)
    if style_name == tuned_with and style_name not in {*BUILT_IN, "model"} and tokenizer.chat_template:
        # A person's own template was saved with the model; the file it came from may be gone or changed.
        return PromptEncoder(tokenizer, Style(style_name, tokenizer.chat_template, tokenizer.eos, tokenizer.bos, tokenizer.eos))
    style = find_style(
        style_name,
        eos=tokenizer.eos,
        bos=tokenizer.bos,
        adds_bos=tokenizer.adds_bos,
        specials=list(tokenizer.special_ids),
        own_template=tokenizer.chat_template,
    )
    return PromptEncoder(tokenizer, _with_own_end(style, tokenizer) if style_name == "model" else style)


def _with_own_end(style: Style, tokenizer: Tokenizer) -> Style:
    """Give a checkpoint's own template the end token it really writes, which may differ from the vocabulary's."""
    written = style.fill([{"role": "user", "content": "\ue000"}, {"role": "assistant", "content": "\ue001"}], ask=False)
    name_of = {token_id: name for name, token_id in tokenizer.special_ids.items()}
    after = tokenizer.split_special(written.partition("\ue001")[2])
    return replace(style, end=next((name_of[piece] for piece in after if isinstance(piece, int)), style.end))


def _tokenise(segments: Iterable[Segment], tokenizer: Tokenizer) -> Iterator[tuple[int, bool]]:
    """Yield (id, trained) of every token."""
    waiting, waiting_trained = "", False
    for text, trained in _pieces(segments, tokenizer):
        if isinstance(text, str) and trained == waiting_trained:
            waiting += text
            continue
        yield from ((token_id, waiting_trained) for token_id in tokenizer.encode(waiting))
        waiting, waiting_trained = (text, trained) if isinstance(text, str) else ("", trained)
        if isinstance(text, int):
            yield text, trained
    yield from ((token_id, waiting_trained) for token_id in tokenizer.encode(waiting))


def _pieces(segments: Iterable[Segment], tokenizer: Tokenizer) -> Iterator[tuple[str | int, bool]]:
    for segment in segments:
        if segment.markup:
            yield from ((piece, segment.trained) for piece in tokenizer.split_special(segment.text))
        elif segment.text:
            yield segment.text, segment.trained
