"""A checkpoint's vocabulary as GGUF has it, and the name of the way in which it cuts text into words.

llama.cpp knows such ways by name only. Which name is right is not looked up but tried: the
vocabulary with the named way must give the ids that the checkpoint's own tokenizer gives. Knows no
weights.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tokenizers import Regex, pre_tokenizers
from tokenizers import Tokenizer as CheckpointTokenizer

from core.errors import ModelError
from core.prompts.tokenizer import Tokenizer

if TYPE_CHECKING:
    from gguf import GGUFWriter

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_BY_LINES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class Cut:
    """A way of cutting text that llama.cpp knows."""

    name: str
    patterns: Sequence[str]  # one after the other
    ignores_merges: bool = False  # of words that are tokens as they stand


# as llama.cpp has them (src/llama-vocab.cpp)
_CUTS = (
    Cut("gpt-2", [_GPT2]),
    Cut("smollm", [r"\p{N}", _GPT2]),
    Cut("llama-bpe", [_BY_LINES.replace("DIGITS", "{1,3}")], ignores_merges=True),
    Cut("qwen2", [_BY_LINES.replace("DIGITS", "")]),
)
_PROBES = 2_000
_LONGEST_PROBE = 12
_PIECES = (
    *"abcXYZé ßñжяΩ中文字हिने한ا0123456789٣½²'’\"-_.,;:!?()[]{}/\\<>@#$%^&*+=|~`",
    *(" ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000"),
    *("'s", "'S", "'ll", "'RE", "the", " The", "Habari", " ya", "12", "2026", " 7", "é"),
    *("🙂", "👩‍👩‍👧", "\u200d", "\u0301", "HTTP", "iPhone"),
)


def write_tokenizer(writer: "GGUFWriter", tokenizer: Tokenizer, size: int) -> None:
    """Write a vocabulary of ``size`` tokens, as many as the model has.

    Raises ModelError for a tokenizer of another kind than byte-level BPE, or one that cuts text in
    a way without a name.
    """
    from gguf import TokenType

    document, cut = json.loads(tokenizer.fallback.to_str()), cut_of(tokenizer)
    names = [f"[PAD{token_id}]" for token_id in range(size)]
    kinds = [TokenType.UNUSED] * size
    words: Mapping[str, int] = document["model"]["vocab"]
    for word, token_id in words.items():
        if token_id < size:
            names[token_id], kinds[token_id] = word, TokenType.NORMAL
    for token in document.get("added_tokens", ()):
        if token["id"] < size:
            is_special = token["special"] or token["content"] in tokenizer.special_ids
            names[token["id"]] = token["content"]
            kinds[token["id"]] = TokenType.CONTROL if is_special else TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cut.name)
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    writer.add_token_merges([_merge(one) for one in document["model"]["merges"]])
    # what stands in front of a text is written by the template
    writer.add_add_bos_token(value=False)


def cut_of(tokenizer: Tokenizer) -> Cut:
    """Return the way in which a tokenizer cuts text. Raises ModelError where it has no name."""
    checkpoint = tokenizer.fallback
    document = json.loads(checkpoint.to_str())
    is_byte_level = "ByteLevel" in json.dumps(document.get("pre_tokenizer"))
    normaliser = (document.get("normalizer") or {}).get("type")
    # llama.cpp reads composed and decomposed letters as they come, as does everyone's Qwen there
    if document["model"]["type"] != "BPE" or not is_byte_level or normaliser not in {None, "NFC"}:
        raise ModelError(
            "Its tokenizer is no byte-level BPE, and no other kind is written as GGUF here: export "
            "the model as merged, and convert it with llama.cpp's own converter."
        )
    expected = [checkpoint.encode(text, add_special_tokens=False).ids for text in probe_texts()]
    for cut in _CUTS:
        twin = _with_cut(document, cut)
        if all(
            twin.encode(text, add_special_tokens=False).ids == ids
            for text, ids in zip(probe_texts(), expected, strict=True)
        ):
            return cut
    raise ModelError(
        "Its tokenizer cuts text into words in a way that llama.cpp has no name for, or that is not "
        "known here: export the model as merged, and convert it with llama.cpp's own converter."
    )


def _with_cut(document: Mapping[str, Any], cut: Cut) -> CheckpointTokenizer:
    """Return a vocabulary as llama.cpp would read text with it."""
    model = {**document["model"], "ignore_merges": cut.ignores_merges}
    twin = CheckpointTokenizer.from_str(json.dumps({**document, "model": model}))
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in cut.patterns]
    twin.pre_tokenizer = pre_tokenizers.Sequence(
        [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    twin.encode_special_tokens = True
    return twin


def _merge(pair: str | Sequence[str]) -> str:
    return pair if isinstance(pair, str) else " ".join(pair)


@cache
def probe_texts() -> tuple[str, ...]:
    """Return odd texts, the same ones always."""
    draw = random.Random(0)
    return tuple(
        "".join(draw.choices(_PIECES, k=draw.randint(1, _LONGEST_PROBE))) for _ in range(_PROBES)
    )
