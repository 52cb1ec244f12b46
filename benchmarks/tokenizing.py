"""Ids by tiktoken against those of the checkpoint's own tokenizer: equal on every text, and how many
times quicker on one thread.

Run: python benchmarks/tokenizing.py [--json] [--only] [FOLDER …], folders with a tokenizer beside those of
../shared/data/tokenizers and pocket's.
"""

import argparse
import gzip
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path.insert(0, str(Path(__file__).parents[1]))

from core.datasets.dataset import load_dataset
from core.models.resolve import find_model
from core.prompts.tokenizer import Tokenizer, load_tokenizer

_SHARED = Path(__file__).parents[2] / "shared" / "data"
_ROUNDS = 3
_TIMED_TEXTS = 4_000
_ODD = (  # where vocabularies and their patterns are known to part
    "", " ", "\n", "\t\t x", "  a   b    c     ", "\r\n\r\n", "a\u00a0b\u2003c", "e\u0301 \u00e9",
    "\u200b\u200d\ufeff", "👩‍👩‍👧‍👦🇹🇿👍🏽", "𝒜𝔅ℭ①②½", "ﷺ بسم الله", "नमस्ते हिन्दी", "ქართული", "中文字符，没有空格。",
    "日本語のテキスト", "한국어 문장", "ไทยไม่มีช่องว่าง", "Ω≈ç√∫˜µ≤≥÷", "I'm you'll WE'VE 'S don’t", "12345678901234567890",
    "1,234.56e-78", "<|endoftext|> <|im_start|> [INST] </s>", "def f(x):\n    return x\n\n\n", "\x00\x01\x1f\x7f\x80",
    "\U0010ffff\ufffd", "ı İ ß ẞ ﬁ", "a" * 3000, " " * 200 + "x", "\u0300" * 50,
)  # fmt: skip


def main() -> None:
    """Compare and time every tokenizer, and exit with 1 where ids differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--only", action="store_true", help="only these folders")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    texts = list(_texts())
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        usual = () if chosen.only else _folders(Path(scratch))
        for name, folder in (*usual, *((one.name, one) for one in chosen.folders)):
            found[name] = _compare(load_tokenizer(folder), texts)
            print(f"{name}: {found[name]}", file=sys.stderr)
    characters = sum(map(len, texts))
    if chosen.json:
        print(json.dumps({"texts": len(texts), "characters": characters, "tokenizers": found}))
    sys.exit(any(one["different"] for one in found.values()))


def _folders(scratch: Path) -> Iterator[tuple[str, Path]]:
    yield "pocket", find_model("pocket", None).weights_folder
    for path in sorted((_SHARED / "tokenizers").glob("*.tokenizer.json")):
        folder = scratch / path.name.removesuffix(".tokenizer.json")
        folder.mkdir()
        shutil.copyfile(path, folder / "tokenizer.json")
        yield folder.name, folder
    if (gpt2 := _SHARED / "tokenizers" / "gpt2").is_dir():
        folder = scratch / "gpt2"
        folder.mkdir()
        shutil.copyfile(gpt2 / "encoder.json", folder / "vocab.json")
        shutil.copyfile(gpt2 / "vocab.bpe", folder / "merges.txt")
        (folder / "config.json").write_text('{"model_type": "gpt2", "eos_token_id": 50256}')
        (folder / "tokenizer_config.json").write_text(
            '{"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"}'
        )
        yield "gpt2", folder


def _texts() -> Iterator[str]:
    """Yield the texts of all instructions, conversations and preferences, of corpora by paragraph,
    and the odd ones.
    """
    yield from _ODD
    for folder in ("instructions", "chat", "preferences"):
        for path in sorted((_SHARED / folder).iterdir()):
            for example in load_dataset(path).examples:
                for turn in example.turns:
                    yield turn.text
                    if turn.input:
                        yield turn.input
    for path in sorted((_SHARED / "corpora").glob("*.gz")):
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
            yield from (file.read(20_000) for _ in range(20))


def _compare(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, object]:
    """Return how many texts get other ids, and the median of the rounds' ratios."""
    own = tokenizer.fallback
    different = 0
    if tokenizer.engine == "tiktoken":
        different = sum(
            tokenizer.encode(text) != own.encode(text, add_special_tokens=False).ids
            for text in texts
        )
    timed = texts[:: max(len(texts) // _TIMED_TEXTS, 1)]
    ratios = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for text in timed:
            tokenizer.encode(text)
        middle = time.perf_counter()
        for text in timed:
            _ = own.encode(text, add_special_tokens=False).ids
        ratios.append((time.perf_counter() - middle) / (middle - began))
    return {
        "engine": tokenizer.engine,
        "different": different,
        "ratio": round(statistics.median(ratios), 2),
    }


if __name__ == "__main__":
    main()
