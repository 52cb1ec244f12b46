"""Text becomes ids and back, exactly as the checkpoint's own tokenizer does it.

Knows no style and no model. Byte-level BPE vocabularies run on tiktoken, proven equal on
``_PROBES`` at load; all others on ``tokenizers``.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from unicodedata import normalize

from tokenizers import Tokenizer as CheckpointTokenizer

from core.errors import ModelError, StyleError
from core.libraries import import_libraries
from core.prompts.tiktoken_bpe import ByteLevelEncoding, NotByteLevelError, build_byte_level
from core.storage.json_object import read_json_object
from core.text import shortened

# white-space characters; a few times as many end tiktoken's regular expressions
_LONG_RUN = 100_000
_SPACES = re.compile(rf"\s{{{_LONG_RUN}}}")
_PROBES = (
    (
        "Below is an instruction.\n\n### Instruction:\nWhat's 17 + 285?\n\n### Response:\n  It's "
        "302.\n"
    ),
    "def f(x):\n\treturn x ** 2  # naïve café — “quoted” ½ ①\r\n\r\n   \n end   ",
    "Habari ya asubuhi! Jambo, rafiki yangu. 你好,世界。 Здравствуй мир مرحبا שלום नमस्ते 🙂👩‍🚀",
    (
        "I'LL we've THEY'RE don't 1234567 3.14e-10 a  b   c\u00a0d e\u0301 ﬁ <|endoftext|> {{x}} "
        "https://a.b/c?d=e&f"
    ),
)


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """One checkpoint's tokenizer, with the special tokens a prompt style needs."""

    folder: Path  # where its files lie
    fallback: CheckpointTokenizer
    byte_level: ByteLevelEncoding | None
    special_ids: Mapping[str, int]  # every added token: text → id
    eos: str  # the checkpoint's end token, "" where it has none
    bos: str
    adds_bos: bool  # the checkpoint puts ``bos`` in front of every text
    chat_template: str  # "" where the checkpoint has none
    pad_id: int
    _special_of: dict[int, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the special tokens by id."""
        object.__setattr__(
            self, "_special_of", {token_id: text for text, token_id in self.special_ids.items()}
        )

    @property
    def engine(self) -> str:
        """The library that does the work."""
        return "tiktoken" if self.byte_level else "tokenizers"

    @cached_property
    def _special_pattern(self) -> re.Pattern[str] | None:
        longest_first = sorted(self.special_ids, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def encode(self, text: str) -> list[int]:
        """Return the ids of ordinary text; what looks like a special token stays text.

        Raises StyleError for a text that the tokenizer does not bear.
        """
        if len(text) > _LONG_RUN and _SPACES.search(text):
            raise StyleError(
                f"it has more than {_LONG_RUN:,} white-space characters in a row, which no "
                "tokenizer takes"
            )
        try:
            if self.byte_level and self.byte_level.can_write(text):
                return self.byte_level.encode(text)
            ids: list[int] = self.fallback.encode(text, add_special_tokens=False).ids
        except BaseException as error:
            # a panic of Rust code is no Exception
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                raise StyleError(
                    f"the tokenizer fails on it: {shortened(str(error), 200)}"
                ) from error
            raise
        return ids

    def can_write(self, text: str) -> bool:
        """Return whether it is known at once that nothing of a text is lost: all its bytes are
        tokens.
        """
        return self.byte_level is not None and self.byte_level.can_write(text)

    def lost_characters(self, text: str) -> set[str]:
        """Return the characters of a text that are gone, or unknown, once it is written as ids and
        read again.
        """
        back = self.decode(self.encode(text)).casefold()
        kept = set(back) | set(normalize("NFKC", back))
        return {
            c
            for c in set(text)
            if not c.isspace() and not kept & {*c.casefold(), *normalize("NFKC", c).casefold()}
        }

    def split_special(self, text: str) -> Iterator[str | int]:
        """Yield the ordinary stretches of a style's own text as str and its special tokens as ids."""
        start = 0
        for match in self._special_pattern.finditer(text) if self._special_pattern else ():
            if match.start() > start:
                yield text[start : match.start()]
            yield self.special_ids[match.group()]
            start = match.end()
        if start < len(text):
            yield text[start:]

    def decode(self, ids: Sequence[int], *, with_special: bool = False) -> str:
        """Return the text of ids; bytes that are no UTF-8 become U+FFFD."""
        if self.byte_level is None:
            kept = (
                ids
                if with_special
                else [token_id for token_id in ids if token_id not in self._special_of]
            )
            return str(self.fallback.decode(list(kept), skip_special_tokens=False))
        return b"".join(
            self._bytes(token_id, with_special=with_special) for token_id in ids
        ).decode("utf-8", errors="replace")

    def _bytes(self, token_id: int, *, with_special: bool) -> bytes:
        if token_id in self._special_of:
            return self._special_of[token_id].encode() if with_special else b""
        return self.byte_level.bytes_of.get(token_id, b"") if self.byte_level else b""


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer of a model folder.

    Raises ModelError when the folder has none that can be read without running code from it.
    """
    stamp = max((path.stat().st_mtime_ns for path in folder.glob("*token*")), default=0)
    return _load_cached(folder.resolve(), stamp)


@lru_cache(maxsize=8)
def _load_cached(folder: Path, _stamp: int) -> Tokenizer:
    if (folder / "tokenizer.json").is_file():
        return _read_tokenizer(folder, folder)
    # older layouts (vocab.json, merges.txt, sentencepiece)
    with tempfile.TemporaryDirectory() as converted:
        _convert(folder, Path(converted))
        return _read_tokenizer(Path(converted), folder)


def _convert(folder: Path, target: Path) -> None:
    import_libraries()
    from transformers import AutoTokenizer

    try:
        AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        ).save_pretrained(target)
    except (
        Exception
    ) as error:  # transformers raises a different class for every layout it cannot read
        raise ModelError(
            f"{folder} has no tokenizer that can be read: add the model's tokenizer.json."
        ) from error


def _read_tokenizer(files: Path, folder: Path) -> Tokenizer:
    try:
        document = json.loads((files / "tokenizer.json").read_text(encoding="utf-8"))
        fallback = CheckpointTokenizer.from_str(json.dumps(document))
    except Exception as error:  # the Rust parser raises bare Exception
        raise ModelError(
            f"{folder / 'tokenizer.json'} cannot be read: copy it again from the model's source."
        ) from error
    fallback.encode_special_tokens = True
    settings = read_json_object(files / "tokenizer_config.json")
    special_ids = {token["content"]: token["id"] for token in document.get("added_tokens", [])}
    eos = _token_name(settings.get("eos_token")) or _named_by_config(folder, fallback)
    bos = _token_name(settings.get("bos_token"))
    special_ids |= {
        name: fallback.token_to_id(name)
        for name in (eos, bos)
        if fallback.token_to_id(name) is not None
    }
    pad_id = special_ids.get(_token_name(settings.get("pad_token")), special_ids.get(eos, 0))
    return Tokenizer(
        folder=folder,
        fallback=fallback,
        byte_level=_proven_byte_level(document, fallback, folder.name),
        special_ids=special_ids,
        eos=eos if eos in special_ids else "",
        bos=bos if bos in special_ids else "",
        adds_bos=bool(bos) and _puts_in_front(document.get("post_processor"), bos),
        chat_template=_chat_template(files, settings),
        pad_id=pad_id,
    )


def _proven_byte_level(
    document: Mapping[str, Any], oracle: CheckpointTokenizer, name: str
) -> ByteLevelEncoding | None:
    """Return the tiktoken twin of a vocabulary, or None where it cannot be built or differs
    anywhere.
    """
    try:
        byte_level = build_byte_level(document, name)
    except NotByteLevelError:
        return None
    equal = all(
        byte_level.encode(text) == oracle.encode(text, add_special_tokens=False).ids
        for text in _PROBES
    )
    return byte_level if equal else None


def token_ids(value: object) -> list[int]:
    """Return the ids that a config names: one, several in a list, or none."""
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, int)]


def _token_name(token: object) -> str:
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def _named_by_config(folder: Path, tokenizer: CheckpointTokenizer) -> str:
    """Return the end token that config.json gives only by id."""
    for name in ("generation_config.json", "config.json"):
        for token_id in token_ids(read_json_object(folder / name).get("eos_token_id")):
            return tokenizer.id_to_token(token_id) or ""
    return ""


def _puts_in_front(post_processor: Mapping[str, Any] | None, bos: str) -> bool:
    processors = (post_processor or {}).get("processors", [post_processor or {}])
    single: list[dict[str, Any]] = next(
        (step["single"] for step in processors if step.get("single")), []
    )
    return bool(single) and single[0].get("SpecialToken", {}).get("id") == bos


def _chat_template(files: Path, settings: Mapping[str, Any]) -> str:
    path = files / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):  # several named templates
        template = next(
            (item.get("template") for item in template if item.get("name") == "default"), ""
        )
    return template if isinstance(template, str) else ""
