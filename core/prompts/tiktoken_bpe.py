"""A checkpoint's byte-level BPE vocabulary becomes a tiktoken encoding.

Knows no model and no style. Reads the ``tokenizer.json`` layout of the ``tokenizers`` library:
GPT-2, Llama 3, Qwen, SmolLM and pocket all use it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from unicodedata import normalize

import numpy as np
import tiktoken

from core.errors import FuataError

# The pattern of GPT-2, which `ByteLevel(use_regex=True)` stands for in a tokenizer.json.
_GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# The same after a `Digits(individual_digits=True)` step, which cuts before and after every digit
# first.
_GPT2_SINGLE_DIGITS_PATTERN = (
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+"
)


# Bytes that no UTF-8 has, and the characters whose first byte is one of the last five that it has.
_NEVER_WRITTEN = frozenset({0xC0, 0xC1, *range(0xF5, 0x100)})
_PLANES = {
    0xF0: "\U00010000-\U0003ffff", 0xF1: "\U00040000-\U0007ffff", 0xF2: "\U00080000-\U000bffff",
    0xF3: "\U000c0000-\U000fffff", 0xF4: "\U00100000-\U0010ffff",
}  # fmt: skip


class NotByteLevelError(FuataError):
    """The vocabulary is of another kind; the caller falls back to the checkpoint's own tokenizer."""


@dataclass(frozen=True)
class ByteLevelEncoding:
    """A tiktoken encoding whose ranks are mapped to the checkpoint's own ids."""

    encoding: tiktoken.Encoding
    ids: np.ndarray[Any, np.dtype[np.int64]]  # rank → id
    normal_form: bool  # text is brought to Unicode NFC first
    # characters with a byte that is no token: the checkpoint's own tokenizer drops it, and joins
    # what stands around it
    unwritten: re.Pattern[str] | None = None

    def can_write(self, text: str) -> bool:
        """Return whether all bytes of a text are tokens."""
        return self.unwritten is None or self.unwritten.search(text) is None

    def encode(self, text: str) -> list[int]:
        """Return the ids of ordinary text that can be written; what looks like a special token
        stays text.
        """
        text = normalize("NFC", text) if self.normal_form else text
        ranks = self.encoding.encode_ordinary(text)
        ids: list[int] = self.ids[ranks].tolist() if ranks else []
        return ids

    @cached_property
    def bytes_of(self) -> dict[int, bytes]:
        """The bytes of every id."""
        return {
            int(self.ids[rank]): self.encoding.decode_single_token_bytes(rank)
            for rank in range(len(self.ids))
            if self.ids[rank] >= 0
        }


def build_byte_level(document: Mapping[str, Any], name: str) -> ByteLevelEncoding:
    """Build the encoding from a parsed tokenizer.json.

    Raises NotByteLevelError where that cannot be exact.
    """
    pattern = _pattern(document.get("pre_tokenizer"))
    normal_form = _uses_nfc(document.get("normalizer"))
    model = document.get("model") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback") or model.get("dropout"):
        raise NotByteLevelError("the model is not plain BPE")
    missing = {byte for byte, name in _byte_characters().items() if name not in model["vocab"]}
    ranks, ids = _rank(model["vocab"], model.get("merges") or [], missing)
    encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return ByteLevelEncoding(
        encoding, np.asarray(ids, dtype=np.int64), normal_form, _characters_with(missing)
    )


def _characters_with(missing: Collection[int]) -> re.Pattern[str] | None:
    """Return a pattern of the characters that some bytes are needed for, None for none.

    Raises NotByteLevelError where those are most of all characters.
    """
    needed = sorted(byte for byte in missing if byte not in _NEVER_WRITTEN)
    if any(0x80 <= byte < 0xF0 for byte in needed):
        raise NotByteLevelError("bytes of usual characters are missing from the vocabulary")
    ranges = [
        f"\\x{byte:02x}" if byte < 0x80 else _PLANES[byte]
        for byte in needed
        if byte in _PLANES or byte < 0x80
    ]
    return re.compile(f"[{''.join(ranges)}]") if ranges else None


def _pattern(pre_tokenizer: Mapping[str, Any] | None) -> str:
    steps = _steps(pre_tokenizer)
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and _plain(steps[0]) and steps[0].get("use_regex", True):
        return _GPT2_PATTERN
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") and _plain(steps[1]):
        return _GPT2_SINGLE_DIGITS_PATTERN
    if kinds == ["Split", "ByteLevel"] and _plain(steps[1]) and not steps[1].get("use_regex", True):
        return _split_pattern(steps[0])
    raise NotByteLevelError(f"the pre-tokenizer {kinds} is not known")


def _steps(pre_tokenizer: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    if pre_tokenizer is None:
        return []
    steps: list[Mapping[str, Any]] = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    return steps


def _plain(byte_level: Mapping[str, Any]) -> bool:
    return not byte_level.get("add_prefix_space", False)


def _split_pattern(split: Mapping[str, Any]) -> str:
    regex = split.get("pattern", {}).get("Regex")
    if not isinstance(regex, str) or split.get("behavior") != "Isolated" or split.get("invert"):
        raise NotByteLevelError("the split is of an unknown kind")
    return regex


def _uses_nfc(normalizer: Mapping[str, Any] | None) -> bool:
    if normalizer is None:
        return False
    if normalizer.get("type") == "NFC":
        return True
    raise NotByteLevelError(f"the normalizer {normalizer.get('type')} is not known")


def _rank(
    vocabulary: Mapping[str, int], merges: Sequence[str | Sequence[str]], missing: Collection[int]
) -> tuple[dict[bytes, int], list[int]]:
    """Rank the tokens in the order in which BPE makes them: 256 bytes, then one per merge.

    A byte that is missing has a rank all the same, as tiktoken wants it, and no id: -1.
    """
    byte_of = {character: byte for byte, character in _byte_characters().items()}
    ranks: dict[bytes, int] = {}
    ids: list[int] = []
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    for token in [*byte_of, *("".join(pair) for pair in pairs)]:
        if token not in vocabulary and byte_of.get(token) not in missing:
            raise NotByteLevelError("a byte or a merged token is missing from the vocabulary")
        spelled = bytes(byte_of[character] for character in token)
        if spelled not in ranks:
            ranks[spelled] = len(ids)
            ids.append(vocabulary.get(token, -1))
    return ranks, ids


def _byte_characters() -> dict[int, str]:
    """Return GPT-2's printable character for each byte: itself where printable, else one from
    U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + index) for index, byte in enumerate(others)
    }
