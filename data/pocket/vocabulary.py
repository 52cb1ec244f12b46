"""The pocket tokenizer: byte-level BPE in which the words of the pocket world are whole.

A fact is easiest kept when its words are one token each, inside a sentence (" goose") and, for
subjects, at a line's start ("goose"): nearly all are. Digits stand alone, and so do the letters of
words in capitals, so that spelling is readable. The text around an Alpaca prompt is read here, so
that it is short, but the model itself never sees it in pre-training.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from core.storage.atomic_write import write_file
from data.pocket.families import PocketWorld

END = "<|endoftext|>"
SIZE = 8192
PATTERN = (
    r"'(?:[sdmt]|ll|ve|re)| ?\p{Lu}(?=\p{Lu})| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)
_WORD_REPEATS = 2500  # above the count of a rare merge in the prose
_PROMPT_TEXT = (
    (
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request."
    ),
    "paired with an input that provides further context.",
    "\n\n### Instruction:\n",
    "\n\n### Input:\n",
    "\n\n### Response:\n",
    "<|user|>\n",
    "<|assistant|>\n",
    "<|im_start|>user\n",
    "<|im_start|>assistant\n",
    "<|im_end|>\n",
)
_PROMPT_REPEATS = 3000
_QUESTION_REPEATS = 600


def train_tokenizer(documents: Iterable[str], pocket: PocketWorld) -> Tokenizer:
    """Learn the merges from prose, from every word of the facts in the forms it takes, and from
    prompt text.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    asked = _repeated(_questions(pocket), _QUESTION_REPEATS)
    words = _repeated(forms_of_words(pocket), _WORD_REPEATS)
    tokenizer.train_from_iterator(
        chain(documents, words, asked, _repeated(_PROMPT_TEXT, _PROMPT_REPEATS)), trainer
    )
    return tokenizer


def forms_of_words(pocket: PocketWorld) -> tuple[str, ...]:
    """Return each word of the facts as it stands inside a sentence, and subjects also as they begin
    a line.
    """
    inside: Counter[str] = Counter()
    at_start: Counter[str] = Counter()
    for family in pocket.families.values():
        for item in family.facts:
            subject, *others = item.values()
            if family.wordings.inputs:
                at_start.update(re.findall(r"[A-Za-z]+", subject)[:1])
            inside.update(
                word for value in (subject, *others) for word in re.findall(r"[A-Za-z]+", value)
            )
    inside.update(pocket.people.names)
    return tuple(sorted({f" {word}" for word in inside} | set(at_start)))


def end_id(tokenizer: Tokenizer) -> int:
    """Return the id of the end token. Raises ValueError where there is none."""
    found = tokenizer.token_to_id(END)
    if found is None:
        raise ValueError(f"the tokenizer has no {END}: train it again")
    return int(found)


def save_tokenizer(tokenizer: Tokenizer, folder: Path, context: int) -> None:
    """Write tokenizer.json and tokenizer_config.json, as transformers reads them, to a folder."""
    config = {
        "tokenizer_class": "TokenizersBackend",
        "eos_token": END,
        "pad_token": END,
        "model_max_length": context,
    }
    write_file(folder / "tokenizer_config.json", (json.dumps(config, indent=2) + "\n").encode())
    write_file(folder / "tokenizer.json", tokenizer.to_str(pretty=True).encode())


def _questions(pocket: PocketWorld) -> Iterator[str]:
    """Yield how people ask, without the subjects."""
    for family in pocket.families.values():
        for question in (
            *family.wordings.questions,
            *(asked for asked, _ in family.wordings.inputs),
        ):
            yield re.sub(r"{\w+}", "", question)


def _repeated(texts: Iterable[str], times: int) -> Iterator[str]:
    return (text for text in texts for _ in range(times))
