"""tiktoken gives the ids of the checkpoint's own tokenizer, or is not used."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as CheckpointTokenizer

from core.datasets.conversation import Turn
from core.datasets.dataset import load_dataset
from core.datasets.samples import SAMPLES
from core.errors import ModelError
from core.prompts.encoder import load_encoder
from core.prompts.tiktoken_bpe import _byte_characters
from core.prompts.tokenizer import Tokenizer, load_tokenizer
from tests.conftest import DATA, POCKET
from tests.prompts import ask

# as Llama 3's tokenizer.json has it
LLAMA_3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


TEXT_FILES = (
    *SAMPLES.values(),
    *(
        DATA / name
        for name in ("alpaca-scripts.json", "dolly.jsonl", "sharegpt.json", "identity.json")
    ),
)


@cache
def texts() -> tuple[str, ...]:
    """Texts of three languages and ten scripts, code among them."""
    examples = [row for file in TEXT_FILES for row in load_dataset(file).examples[:300]]
    return tuple(part for row in examples for turn in row.turns for part in (turn.text, turn.input))


def trained(pre_tokenizer: pre_tokenizers.PreTokenizer, **options: Any) -> CheckpointTokenizer:
    """Return a byte-level vocabulary of 2,000 tokens learnt from our texts."""
    tokenizer = CheckpointTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    options.setdefault("initial_alphabet", pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=["<|endoftext|>"], show_progress=False, **options
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def test_tiktoken_gives_llama_3s_kind_of_ids(tmp_path: Path) -> None:
    split = pre_tokenizers.Split(Regex(LLAMA_3_PATTERN), behavior="isolated")
    steps = [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    trained(pre_tokenizers.Sequence(steps)).save(str(tmp_path / "tokenizer.json"))
    _check_equal(tmp_path)


def test_tiktoken_gives_qwens_kind_of_ids_where_text_is_brought_to_normal_form(
    tmp_path: Path,
) -> None:
    document = json.loads((POCKET / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(
        json.dumps({**document, "normalizer": {"type": "NFC"}})
    )
    tokenizer = _check_equal(tmp_path)
    assert tokenizer.encode("e\u0301") == tokenizer.encode("\u00e9")


def test_a_vocabulary_without_all_bytes_runs_on_its_own_tokenizer(tmp_path: Path) -> None:
    made = trained(pre_tokenizers.ByteLevel(add_prefix_space=False), initial_alphabet=[])
    made.save(str(tmp_path / "tokenizer.json"))
    assert load_tokenizer(tmp_path).engine == "tokenizers"


def test_tiktoken_gives_pockets_own_ids() -> None:
    _check_equal(POCKET)


def test_tiktoken_gives_the_ids_of_gpt2s_two_files(tmp_path: Path) -> None:
    trained(pre_tokenizers.ByteLevel(add_prefix_space=False)).model.save(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"vocab.json", "merges.txt"}
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"}'
    )
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "eos_token_id": 0}')
    tokenizer = _check_equal(tmp_path)
    assert tokenizer.special_ids["<|endoftext|>"] == 0


def _check_equal(folder: Path) -> Tokenizer:
    tokenizer = load_tokenizer(folder)
    assert tokenizer.engine == "tiktoken"
    oracle: CheckpointTokenizer = tokenizer.fallback
    for text in texts():
        ids = tokenizer.encode(text)
        assert ids == oracle.encode(text, add_special_tokens=False).ids
        is_normal = tokenizer.byte_level.normal_form
        assert tokenizer.decode(ids) == (normalize("NFC", text) if is_normal else text)
    return tokenizer


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_tiktoken_gives_pockets_own_ids_on_any_text(text: str) -> None:
    tokenizer = load_tokenizer(POCKET)
    assert tokenizer.encode(text) == tokenizer.fallback.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@example("a\x04b \x06\x13 in\x16g the\U00040000re")
def test_where_a_few_bytes_are_no_tokens_ids_are_equal_on_any_text(text: str) -> None:
    """As in SmolLM2's vocabulary: the own tokenizer drops such a byte and joins its neighbours."""
    tokenizer = _without_some_bytes()
    assert tokenizer.engine == "tiktoken"
    assert tokenizer.encode(text) == tokenizer.fallback.encode(text, add_special_tokens=False).ids
    lost = {character for character in text if character in "\x04\x06\x13\x16\U00040000"}
    assert tokenizer.can_write(text) == (
        not any(c in "\x04\x06\x13\x16" or 0x40000 <= ord(c) < 0x80000 for c in text)
    )
    assert lost <= tokenizer.lost_characters(text)


@cache
def _without_some_bytes() -> Tokenizer:
    document = json.loads((POCKET / "tokenizer.json").read_text())
    named = _byte_characters()
    for byte in (0x04, 0x06, 0x13, 0x16, 0xC0, 0xF1, 0xFF):
        document["model"]["vocab"].pop(named[byte])
    folder = Path(tempfile.mkdtemp())
    (folder / "tokenizer.json").write_text(json.dumps(document))
    return load_tokenizer(folder)


def test_digits_split_one_by_one_before_byte_level_give_equal_ids(tmp_path: Path) -> None:
    document = json.loads((POCKET / "tokenizer.json").read_text())
    document["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": True,
            },
        ],
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.engine == "tiktoken"
    for text in ("a  5", "12 345  6\n7", "x2y", "  9"):
        assert (
            tokenizer.encode(text) == tokenizer.fallback.encode(text, add_special_tokens=False).ids
        )


def test_another_kind_of_vocabulary_runs_on_its_own_tokenizer(tmp_path: Path) -> None:
    from tokenizers import models, pre_tokenizers, trainers

    made = CheckpointTokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(
        ["what is it", "it is what it is"],
        trainers.WordPieceTrainer(vocab_size=60, special_tokens=["[UNK]", "[END]"]),
    )
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "[END]"}')
    encoder = load_encoder(tmp_path, "alpaca")
    assert encoder.tokenizer.engine == "tokenizers"
    row = encoder.encode_example(ask("what is it", "it is"))
    assert row.ids[-1] == encoder.end_id
    assert list(
        row.ids[: len(encoder.encode_prompt([Turn("user", "what is it")]))]
    ) == encoder.encode_prompt([Turn("user", "what is it")])


def test_a_folder_without_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="has no tokenizer that can be read"):
        load_tokenizer(tmp_path)


def test_a_vocabulary_with_byte_fallback_and_a_begin_token_runs_on_its_own_tokenizer(
    tmp_path: Path,
) -> None:
    """As Gemma has it: blanks are U+2581, what is no token is written byte by byte."""
    from tokenizers import normalizers, processors

    specials = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    made = CheckpointTokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Replace(" ", "\u2581")
    made.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=800, special_tokens=specials, show_progress=False, limit_alphabet=120
    )
    made.train_from_iterator(texts(), trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", made.token_to_id("<bos>"))]
    )
    document = json.loads(made.to_str())
    bytes_are_no_specials = [one for one in document["added_tokens"] if "<0x" not in one["content"]]
    document["added_tokens"] = bytes_are_no_specials
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<bos>", "eos_token": "<eos>"}')
    encoder = load_encoder(tmp_path, "chatml")
    tokenizer = encoder.tokenizer
    assert tokenizer.engine == "tokenizers" and tokenizer.adds_bos
    for text in (*texts()[:200], "\U0001f9d1\U0001f3fd \u0915\u094d\u0937 \x04"):
        ids = tokenizer.encode(text)
        assert ids == tokenizer.fallback.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids) == text
    row = encoder.encode_example(ask("what is it", "it is"))
    assert list(row.ids).count(made.token_to_id("<bos>")) == 1 == list(row.ids[:1]).count(2)
