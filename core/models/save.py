"""A tuned model becomes a plain transformers or PEFT folder. Knows no training and no database.

The folder carries what the model needs to be asked rightly anywhere: tokenizer, chat template, end
token.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.models.resolve import FACTS_FILE
from core.prompts.encoder import PromptEncoder
from core.prompts.tokenizer import token_ids
from core.storage.atomic_write import written_aside

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)


def save_model(  # noqa: PLR0913 - what is written, where, and how
    model: "PreTrainedModel",
    encoder: PromptEncoder,
    folder: Path,
    facts: Mapping[str, Any],
    weights: Mapping[str, "torch.Tensor"] | None = None,
    *,
    kept_as: "torch.dtype | None" = None,
    check: Callable[[Path], object] = lambda _: None,
) -> None:
    """Write weights, tokenizer, chat template, end token and ``facts`` to ``folder``, whole or not
    at all.

    ``weights`` stand in for the model's own where those lie in parts; ``kept_as`` is the type of
    the numbers on disk, where it is not their own. ``check`` is given what was written before it
    counts; what it raises leaves nothing behind.
    """
    options: dict[str, Any] = {"state_dict": dict(weights)} if weights else {}
    if kept_as is not None:
        state = weights or model.state_dict()
        options["state_dict"] = {
            name: x.to(kept_as) if x.is_floating_point() else x for name, x in state.items()
        }
    # else PEFT asks the hub for the base's config; we never train embeddings beside adapters
    if hasattr(model, "peft_config"):
        options["save_embedding_layers"] = False
    with written_aside(folder) as aside:
        model.save_pretrained(aside, **options)
        _save_tokenizer(encoder, aside)
        _save_end_token(model, encoder, aside)
        text = json.dumps({"style": encoder.style.name, **facts}, indent=2, ensure_ascii=False)
        (aside / FACTS_FILE).write_text(text + "\n", encoding="utf-8")
        if kept_as is not None:
            _note_type(aside / "config.json", str(kept_as).removeprefix("torch."))
        check(aside)


def _note_type(path: Path, name: str) -> None:
    """Write down the type of the numbers that were written, which transformers takes from the model
    in memory.
    """
    config = json.loads(path.read_text(encoding="utf-8"))
    config["dtype"] = name
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")


def _save_tokenizer(encoder: PromptEncoder, folder: Path) -> None:
    source = encoder.tokenizer.folder
    for name in _TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    config_path = source / "tokenizer_config.json"
    config = json.loads(config_path.read_text(encoding="utf-8")) if config_path.is_file() else {}
    config.pop("chat_template", None)
    if encoder.style.eos:  # what the template's eos_token was filled with in training
        config["eos_token"] = encoder.style.eos
    (folder / "tokenizer_config.json").write_text(
        json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8"
    )
    (folder / "chat_template.jinja").write_text(encoder.style.template, encoding="utf-8")


def _save_end_token(model: "PreTrainedModel", encoder: PromptEncoder, folder: Path) -> None:
    settings = model.generation_config.to_dict() if model.generation_config is not None else {}
    ends = {*token_ids(settings.get("eos_token_id")), *token_ids(encoder.end_id)}
    settings["eos_token_id"] = sorted(ends)
    settings["pad_token_id"] = encoder.tokenizer.pad_id
    settings = {name: value for name, value in settings.items() if value is not None}
    (folder / "generation_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
