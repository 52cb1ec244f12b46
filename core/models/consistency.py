"""What is wrong with a model folder, as far as its config tells before any weight is loaded.

Knows no data.
Imports neither torch nor transformers, but for ``check_loadable``.
"""

from core.errors import ModelError, SettingsError
from core.libraries import import_libraries
from core.models.resolve import ModelSource, read_config, read_whole_config

# Layouts that transformers loads as causal models though each position sees all others, unless
# their config says otherwise.
_ENCODERS = frozenset(
    {
        "albert",
        "bert",
        "big_bird",
        "camembert",
        "convbert",
        "data2vec-text",
        "deberta",
        "deberta-v2",
        "distilbert",
        "electra",
        "ernie",
        "megatron-bert",
        "modernbert",
        "mpnet",
        "rembert",
        "roberta",
        "roberta-prelayernorm",
        "roformer",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)


def check_causal(source: ModelSource) -> None:
    """Raise ModelError for a model whose config says that it is no causal one."""
    config = read_whole_config(source.weights_folder)
    kind = str(config.get("model_type", ""))
    if config.get("is_encoder_decoder"):
        raise ModelError(
            f"'{source.name}' is an encoder with a decoder ({kind}), not a causal model: choose "
            "another one."
        )
    if kind in _ENCODERS and not config.get("is_decoder"):
        raise ModelError(
            f"'{source.name}' is an encoder ({kind}): its tokens see what comes after them, so "
            "it cannot learn to go on with "
            "a text; choose a causal language model."
        )


def check_method(source: ModelSource, method: str) -> None:
    """Raise SettingsError where a model cannot be tuned by a method."""
    if source.is_adapter and method == "full":
        raise SettingsError(
            {"method": f"'{source.name}' is an adapter; tune it further with lora or qlora"}
        )
    if method == "full" and (how := quantisation(source)):
        raise SettingsError(
            {
                "method": f"'{source.name}' holds its weights quantised ({how}), which full "
                "tuning cannot change: use lora"
            }
        )


def quantisation(source: ModelSource) -> str:
    """Return how a model's weights are quantised, by its config; '' where they are not."""
    config = read_whole_config(source.weights_folder).get("quantization_config")
    return str(config.get("quant_method") or "unknown") if isinstance(config, dict) else ""


def vocabulary_size(source: ModelSource) -> int | None:
    """Return how many tokens the model has an embedding for, by its config."""
    size = read_config(source.weights_folder).get("vocab_size")
    return size if isinstance(size, int) and size > 0 else None


def check_ids(source: ModelSource, largest_id: int) -> None:
    """Raise ModelError where the tokenizer makes ids that the model has no embedding for."""
    size = vocabulary_size(source)
    if size is not None and largest_id >= size and not source.is_adapter:
        raise ModelError(
            f"The tokenizer of '{source.name}' makes token {largest_id}, but the model has "
            f"embeddings for {size:,} only: "
            "the tokens that were added need rows of their own (resize_token_embeddings in "
            "transformers)."
        )


def check_loadable(source: ModelSource) -> None:
    """Raise ModelError for a layout that transformers has no causal language model for."""
    import_libraries()
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = str(read_whole_config(source.weights_folder).get("model_type", ""))
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(
            f"'{source.name}' has the layout '{kind[:40]}', of which transformers has no causal "
            "model: choose another one."
        )
