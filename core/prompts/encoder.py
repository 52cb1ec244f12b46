"""Segments become token ids with a loss mask. Knows no tensors.

Ordinary text is tokenised in the longest stretches between special tokens and the borders of
answers, so the ids equal those of the whole string, and the ids of a prompt are the same whether an
answer follows or not.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.datasets.choices import LongRows
from core.datasets.conversation import Example, Turn
from core.errors import StyleError
from core.prompts.built_in import BUILT_IN
from core.prompts.chat_template import Style, find_style
from core.prompts.render import Segment, render
from core.prompts.tokenizer import Tokenizer, load_tokenizer

DEFAULT_STYLE = "alpaca"


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """One example as ids; a file's may be tens of millions, so they take five bytes each."""

    row: int
    ids: "array[int]"  # of type "i"
    trained: bytes  # 1 where the loss sees the id when the prompt is masked, else 0
    is_text: bool = False  # plain text, which may be learnt in pieces

    def targets(self, *, mask_prompt: bool) -> int:
        """Return how many of the row's tokens the loss sees; the first is never one, for nothing
        stands before it.
        """
        return self.trained.count(1, 1) if mask_prompt else len(self.ids) - 1

    def fitted(self, max_tokens: int, long_rows: LongRows = "end") -> "list[EncodedRow]":
        """Return what is learnt of the row where rows have at most ``max_tokens``: one row, none
        where long ones are left out, of plain text as many pieces as it takes.
        """
        if self.is_text:  # a document is learnt to its end
            return self.pieces(max_tokens)
        if len(self.ids) <= max_tokens:
            return [self]
        if long_rows == "drop":
            return []
        return [self.without_start(max_tokens) if long_rows == "start" else self.cut(max_tokens)]

    def cut(self, max_tokens: int) -> "EncodedRow":
        """Return the row without the tokens beyond ``max_tokens``."""
        if len(self.ids) <= max_tokens:
            return self
        return self._part(0, max_tokens)

    def without_start(self, max_tokens: int) -> "EncodedRow":
        """Return the row with so much taken out after its first token that ``max_tokens`` are left.

        The first is the begin token of many models. Where the prompt is shorter than what is to go,
        the end is cut instead.
        """
        surplus = len(self.ids) - max_tokens
        prompt = self.trained.find(1)
        if surplus <= 0 or prompt - 1 <= surplus:
            return self.cut(max_tokens)
        first, rest = slice(0, 1), slice(1 + surplus, None)
        return EncodedRow(
            self.row, self.ids[first] + self.ids[rest], self.trained[first] + self.trained[rest]
        )

    def pieces(self, max_tokens: int) -> "list[EncodedRow]":
        """Return plain text as rows of at most ``max_tokens``, each beginning with the last token of
        the one before, so that every token but the first is learnt once.
        """
        starts = range(0, max(len(self.ids) - 1, 1), max(max_tokens - 1, 1))
        return [self._part(start, start + max_tokens) for start in starts]

    def _part(self, start: int, end: int) -> "EncodedRow":
        return EncodedRow(self.row, self.ids[start:end], self.trained[start:end], self.is_text)


def make_row(row: int, prompt: Sequence[int], answer: Sequence[int]) -> EncodedRow:
    """Return a row of ids whose answer alone is trained."""
    return EncodedRow(row, array("i", [*prompt, *answer]), bytes(len(prompt)) + b"\1" * len(answer))


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
            ids, trained = _tokenise(self._segments(example), self.tokenizer)
            return EncodedRow(example.row, ids, trained, example.is_text)
        except StyleError as error:
            raise StyleError(f"Row {example.row}: {error}") from error

    def lost_characters(self, example: Example) -> set[str]:
        """Return the characters of an example that the vocabulary has no way to write, so that they
        vanish.
        """
        text = "".join(turn.text + turn.input for turn in example.turns)
        return set() if self.tokenizer.can_write(text) else self.tokenizer.lost_characters(text)

    def encode_prompt(self, turns: Sequence[Turn]) -> list[int]:
        """Return the ids a model is asked with: a prefix of the ids it is trained on."""
        return _tokenise(render(self.style, turns, ask=True), self.tokenizer)[0].tolist()

    def prompt_text(self, turns: Sequence[Turn]) -> str:
        """Return the exact text a model is asked with."""
        return "".join(segment.text for segment in render(self.style, turns, ask=True))

    def example_text(self, example: Example) -> str:
        """Return the exact text a model is trained on."""
        return "".join(segment.text for segment in self._segments(example))

    def ends_whole(self, row: EncodedRow) -> bool:
        """Return whether a row's last token is the one that ends an answer, or a document."""
        end = self.tokenizer.special_ids.get(self.tokenizer.eos) if row.is_text else self.end_id
        return row.ids[-1] == end

    def _segments(self, example: Example) -> tuple[Segment, ...]:
        """Return an example as a style writes it; plain text is written by none.

        A document begins as the tokenizer begins every text, and ends with its end token.
        """
        if not example.is_text:
            return render(self.style, example.turns, ask=False)
        begin = self.tokenizer.bos if self.tokenizer.adds_bos else ""
        return (
            Segment(begin, trained=False, markup=True),
            Segment(example.answer, trained=True, markup=False),
            Segment(self.tokenizer.eos, trained=True, markup=True),
        )


def load_encoder(
    folder: Path, style: str = "", *, tuned_style: str = "", day: str = ""
) -> PromptEncoder:
    """Return the encoder of a folder with a tokenizer under a style.

    Raises ModelError or StyleError. Without a style it is ``tuned_style``, the one the model was
    tuned with, else the tokenizer's own chat template, else Alpaca. ``day`` is the date (ISO) that
    templates are told: by default today's.
    """
    tokenizer = load_tokenizer(folder)
    found = _style(
        style or default_style(tokenizer, tuned_style), tokenizer, tuned_with=tuned_style
    )
    return PromptEncoder(tokenizer, replace(found, day=day or found.day))


def default_style(tokenizer: Tokenizer, tuned_style: str = "") -> str:
    """Return the style that a model is asked in unless somebody wishes for another."""
    return tuned_style or ("model" if tokenizer.chat_template else DEFAULT_STYLE)


def _style(name: str, tokenizer: Tokenizer, *, tuned_with: str) -> Style:
    if name == tuned_with and name not in {*BUILT_IN, "model"} and tokenizer.chat_template:
        # A user's own template was saved with the model; the file it came from may be gone or
        # changed.
        return Style(name, tokenizer.chat_template, tokenizer.eos, tokenizer.bos, tokenizer.eos)
    style = find_style(
        name,
        eos=tokenizer.eos,
        bos=tokenizer.bos,
        adds_bos=tokenizer.adds_bos,
        specials=list(tokenizer.special_ids),
        own_template=tokenizer.chat_template,
    )
    return _with_own_end(style, tokenizer) if name == "model" else style


def _with_own_end(style: Style, tokenizer: Tokenizer) -> Style:
    """Give a checkpoint's own template the end token it really writes, which may differ from the
    vocabulary's.
    """
    written = style.fill(
        [{"role": "user", "content": "\ue000"}, {"role": "assistant", "content": "\ue001"}],
        ask=False,
    )
    name_of = {token_id: name for name, token_id in tokenizer.special_ids.items()}
    after = tokenizer.split_special(written.partition("\ue001")[2])
    return replace(
        style, end=next((name_of[piece] for piece in after if isinstance(piece, int)), style.end)
    )


def _tokenise(segments: Iterable[Segment], tokenizer: Tokenizer) -> tuple["array[int]", bytes]:
    """Return the ids, and for each of them whether it is trained."""
    ids, trained = array("i"), bytearray()

    def add(found: Sequence[int], *, are_trained: bool) -> None:
        ids.extend(found)
        trained.extend((b"\1" if are_trained else b"\0") * len(found))

    waiting, waiting_trained = "", False
    for text, is_trained in _pieces(segments, tokenizer):
        if isinstance(text, str) and is_trained == waiting_trained:
            waiting += text
            continue
        add(tokenizer.encode(waiting), are_trained=waiting_trained)
        waiting, waiting_trained = (text, is_trained) if isinstance(text, str) else ("", is_trained)
        if isinstance(text, int):
            add([text], are_trained=is_trained)
    add(tokenizer.encode(waiting), are_trained=waiting_trained)
    return ids, bytes(trained)


def _pieces(segments: Iterable[Segment], tokenizer: Tokenizer) -> Iterator[tuple[str | int, bool]]:
    for segment in segments:
        if segment.markup:
            yield from ((piece, segment.trained) for piece in tokenizer.split_special(segment.text))
        elif segment.text:
            yield segment.text, segment.trained
