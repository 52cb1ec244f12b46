"""Text of benchmarks as ids: special tokens written in it count as such, as in lm-eval's model class
(`transformers`' tokenizers), not as in Fuata's own prompts.
"""

from functools import lru_cache

from tokenizers import Tokenizer as CheckpointTokenizer

from core.errors import StyleError
from core.prompts.tokenizer import Tokenizer

_PROBES = (
    "The following are multiple choice questions (with answers) about astronomy.\n\nQ\nA. x\nAnswer:",
    " yes", "  - a\n\n", "def f(x):\n\treturn x ** 2  # naïve café", "Habari 你好 🙂", "\n", "A",
)  # fmt: skip


class TextEncoder:
    """Encodes whole texts, a beginning token in front where the checkpoint puts one there."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Choose tiktoken where it gives the ids of the checkpoint's own tokenizer on texts that try
        it, and that tokenizer where it does not.
        """
        self._tokenizer = tokenizer
        self._whole: CheckpointTokenizer = CheckpointTokenizer.from_str(tokenizer.fallback.to_str())
        self._whole.encode_special_tokens = False
        self._begin = [tokenizer.special_ids[tokenizer.bos]] if tokenizer.adds_bos else []
        specials = list(tokenizer.special_ids)[:8]
        probes = [*_PROBES, *(f"a {text}b\n{text} c" for text in specials)]
        self._is_quick = tokenizer.byte_level is not None and all(
            self._quick(probe) == self._plain(probe) for probe in probes
        )
        # the choices of a question share their context
        self.encode = lru_cache(maxsize=64)(self._encode)

    @property
    def end_id(self) -> int:
        """The id of the end token; a context that is empty stands for it where there is no other."""
        return self._tokenizer.special_ids.get(self._tokenizer.eos, 0)

    @property
    def prefix_id(self) -> int:
        """The id that an empty context stands for."""
        return self._tokenizer.special_ids.get(self._tokenizer.bos, self.end_id)

    @property
    def end_text(self) -> str:
        """The end token as text."""
        return self._tokenizer.eos

    def without_beginning(self, text: str) -> list[int]:
        """Return the ids of a text that begins nothing."""
        ids = list(self.encode(text))
        return ids[1:] if self._begin and ids[:1] == self._begin else ids

    def encode_pair(
        self, context: str, continuation: str
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return a context and its continuation as ids, as lm-eval splits them: blanks at the end of
        a context belong to its continuation.
        """
        if not context:
            ids = tuple(self.without_beginning(continuation))
            if ids[0] == self.prefix_id and len(ids) > 1:
                return ids[:1], ids[1:]
            return (self.prefix_id,), ids
        blanks = len(context) - len(context.rstrip())
        if blanks:
            continuation, context = context[-blanks:] + continuation, context[:-blanks]
        whole, begin = self.encode(context + continuation), self.encode(context)
        return begin, whole[len(begin) :]

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids, special tokens left out."""
        return self._tokenizer.decode(ids)

    def _encode(self, text: str) -> tuple[int, ...]:
        has_begin = bool(self._begin) and text.startswith(self._tokenizer.bos)
        ids = self._quick(text) if self._is_quick else self._plain(text)
        # a chat template has written it already
        return tuple(ids[1:] if has_begin and ids[:2] == self._begin * 2 else ids)

    def _quick(self, text: str) -> list[int]:
        ids = list(self._begin)
        for part in self._tokenizer.split_special(text):
            ids += [part] if isinstance(part, int) else self._tokenizer.encode(part)
        return ids

    def _plain(self, text: str) -> list[int]:
        try:
            ids: list[int] = self._whole.encode(text, add_special_tokens=True).ids
        except BaseException as error:
            # a panic of Rust code is no Exception
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                raise StyleError(f"The tokenizer fails on a question: {error}.") from error
            raise
        return ids
