"""How a model is asked: its tokenizer, and the style that it was tuned with or somebody chose.

Loads no weights.
"""

from core.models.resolve import ModelSource
from core.prompts.encoder import PromptEncoder, default_style, load_encoder
from core.prompts.tokenizer import load_tokenizer


def encoder_of(source: ModelSource, style: str = "", *, day: str = "") -> PromptEncoder:
    """Return the encoder of a model under a style, by default its own.

    Raises ModelError or StyleError. ``day`` is the date (ISO) that templates are told: by default
    the one it was tuned with, else today's.
    """
    return load_encoder(
        source.tokenizer_folder, style, tuned_style=source.style, day=day or source.day
    )


def own_style(source: ModelSource) -> str:
    """Return the style of a model: the one it was tuned with, its own chat template, or Alpaca.

    Raises ModelError.
    """
    return default_style(load_tokenizer(source.tokenizer_folder), source.style)
