"""Folders that do not hold what they should, bases that changed under their adapters, layouts that
are no causal models.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.cli.main import main as core_main
from core.datasets.conversation import Turn
from core.datasets.dataset import load_dataset
from core.errors import ModelError, SettingsError, WorkspaceError
from core.export.export_model import ExportOptions, export_model
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling
from core.models.load import load_model
from core.models.lora import merge_adapter
from core.models.resolve import find_model, weights_identity
from core.storage.workspace import Workspace
from core.training.events import Event, RunFailed, RunStarted
from core.training.planning.plan import plan_run
from core.training.runs.lifecycle import check_resumable, delete_run, extend_run, rename_run
from core.training.runs.runner import add_run, execute
from core.training.runs.store import RunStore
from core.training.settings import TrainingSettings
from tests.conftest import POCKET, save_with_tokenizer

pytestmark = pytest.mark.slow
IDS: dict[str, Any] = {
    "vocab_size": 8192,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


def never() -> bool:
    return False


def settings(model: Path | str, **changes: Any) -> TrainingSettings:
    usual = {
        "method": "lora",
        "epochs": 1,
        "batch_size": 8,
        "watched_prompts": 1,
        "learning_rate": 1e-3,
    }
    return TrainingSettings(model=str(model), **{**usual, **changes})


def train(workspace: Workspace, file: Path, chosen: TrainingSettings, name: str) -> list[Event]:
    events: list[Event] = []
    execute(workspace, add_run(workspace, load_dataset(file), chosen, name), never, [events.append])
    return events


def ask(workspace: Workspace, model: str) -> str:
    chat_model = ModelCache(workspace).get(model)
    [answer] = chat_model.respond_all([[Turn("user", "Say A.")]], Sampling(max_new_tokens=5), never)
    return answer.text


def test_an_adapter_whose_base_changed_says_so_wherever_it_is_used(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    base = shutil.copytree(tiny_models["llama"], tmp_path / "base")
    train(workspace, small_file, settings(base), "adapter")
    assert ask(workspace, "adapter") is not None
    torch.manual_seed(7)
    other = load_model(find_model(str(base), workspace))
    with torch.no_grad():
        other.get_input_embeddings().weight[5] += 0.5  # one row of one tensor
    other.save_pretrained(base)
    for use in (
        lambda: ask(workspace, "adapter"),
        lambda: export_model(workspace, "adapter", ExportOptions("merged"), tmp_path / "merged"),
        lambda: plan_run(load_dataset(small_file), settings("adapter"), workspace),
    ):
        with pytest.raises(
            ModelError, match="whose weights have changed since, so it would answer otherwise"
        ):
            use()
    assert not (tmp_path / "merged").exists()


def test_a_run_that_others_stand_on_is_neither_gone_on_with_nor_deleted_nor_renamed(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    train(workspace, small_file, settings(tiny_models["llama"], method="full"), "base")
    train(workspace, small_file, settings("base"), "adapter")
    RunStore(workspace).set_state("base", "stopped")
    for harm in (
        lambda: delete_run(workspace, "base"),
        lambda: check_resumable(workspace, "base"),
        lambda: extend_run(workspace, "base", 9),
        lambda: rename_run(workspace, "base", "other"),
    ):
        with pytest.raises(WorkspaceError, match="The run 'adapter' was tuned from 'base'"):
            harm()
    assert ask(workspace, "adapter") is not None
    delete_run(workspace, "adapter")
    delete_run(workspace, "base")


def test_a_run_goes_on_only_with_the_base_and_tokenizer_that_it_began_with(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    base = shutil.copytree(tiny_models["llama"], tmp_path / "base")
    chosen = settings(base, method="full", epochs=3, checkpoint_every_s=0.0)
    name = add_run(workspace, load_dataset(small_file), chosen, "run")
    count = iter(range(100))
    execute(workspace, name, lambda: next(count) >= 2, [])
    assert RunStore(workspace).find("run")["step"] == 2
    document = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps({**document, "extra": 1}))
    events: list[Event] = []
    execute(workspace, name, never, [events.append])
    [failed] = events
    assert (
        isinstance(failed, RunFailed)
        and "The tokenizer of" in failed.message
        and "put the old files back" in failed.message
    )
    (base / "tokenizer_config.json").write_text(json.dumps(document))
    shutil.copyfile(POCKET / "tokenizer_config.json", base / "tokenizer_config.json")
    runs = RunStore(workspace)
    known = json.loads(runs.find("run")["identity"])
    runs.set_identity("run", {**known, "rows": "as an earlier version read them"})
    events.clear()
    execute(workspace, name, never, [events.append])
    [failed] = events
    assert isinstance(failed, RunFailed) and "rows are read or written otherwise" in failed.message
    runs.set_identity("run", known)
    execute(workspace, name, never, [])
    assert runs.find("run")["state"] == "finished"


@pytest.mark.filterwarnings(
    "ignore:Model has `tie_word_embeddings=True`", "ignore:Setting `save_embedding_layers`"
)
def test_an_adapter_on_the_output_layer_of_tied_embeddings_merges_to_the_same_answers(
    workspace: Workspace, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    base = AutoModelForCausalLM.from_pretrained(tiny_models["qwen3"])
    config = LoraConfig(
        r=4, target_modules=["q_proj", "lm_head"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    adapted = get_peft_model(base, config)
    adapted.name_or_path = str(tiny_models["qwen3"])
    adapted.peft_config["default"].base_model_name_or_path = str(tiny_models["qwen3"])
    adapted.save_pretrained(tmp_path / "adapter")
    export_model(workspace, str(tmp_path / "adapter"), ExportOptions("merged"), tmp_path / "merged")
    ids = torch.arange(1, 30)[None]
    with torch.no_grad():
        expected = adapted.eval()(ids).logits
        found = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()(ids).logits
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("factor", [1.5, float("nan")])
def test_a_merge_that_answers_otherwise_is_not_kept(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    factor: float,
) -> None:
    train(workspace, small_file, settings(tiny_models["llama"]), "adapter")

    def wrongly(model: Any, tell: Any) -> Any:
        merged = merge_adapter(model, tell)
        with torch.no_grad():
            merged.get_output_embeddings().weight.mul_(factor)
        return merged

    monkeypatch.setattr("core.models.lora.merge_adapter", wrongly)
    with pytest.raises(
        ModelError, match="answers otherwise than the model in memory, so nothing of it was kept"
    ):
        export_model(workspace, "adapter", ExportOptions("merged"), tmp_path / "merged")
    assert list(tmp_path.glob("*merged*")) == [] and list(tmp_path.glob(".*merged*")) == []


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused_before_a_run_exists(
    workspace: Workspace, small_file: Path, tmp_path: Path
) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    small = save_with_tokenizer(
        LlamaForCausalLM(LlamaConfig(**{**SIZES, **IDS, "vocab_size": 500})), tmp_path / "small"
    )
    with pytest.raises(
        ModelError, match=r"makes token \d+, but the model has embeddings for 500 only"
    ):
        add_run(workspace, load_dataset(small_file), settings(small), "run")
    with pytest.raises(ModelError, match="has embeddings for 500 only"):
        ask(workspace, str(small))
    assert RunStore(workspace).all() == []


@pytest.mark.parametrize("kind", ["bert", "t5", "quantised", "unknown"])
def test_what_cannot_be_tuned_is_refused_in_words_before_a_run_exists(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    from transformers import BertConfig, BertLMHeadModel, T5Config, T5ForConditionalGeneration

    folder = tmp_path / kind
    if kind == "bert":
        save_with_tokenizer(BertLMHeadModel(BertConfig(**SIZES, **IDS)), folder)
        sentence = "is an encoder .*tokens see what comes after them"
    elif kind == "t5":
        save_with_tokenizer(
            T5ForConditionalGeneration(
                T5Config(d_model=32, d_ff=64, num_layers=1, num_heads=2, d_kv=16, vocab_size=8192)
            ),
            folder,
        )
        sentence = "is an encoder with a decoder"
    else:
        shutil.copytree(tiny_models["llama"], folder)
        config = json.loads((folder / "config.json").read_text())
        changed = (
            {"quantization_config": {"quant_method": "bitsandbytes"}}
            if kind == "quantised"
            else {"model_type": "nothing"}
        )
        (folder / "config.json").write_text(json.dumps({**config, **changed}))
        sentence = (
            "quantised .*use lora" if kind == "quantised" else "transformers has no causal model"
        )
    with pytest.raises((ModelError, SettingsError), match=sentence):
        add_run(workspace, load_dataset(small_file), settings(folder, method="full"), "run")
    assert RunStore(workspace).all() == []


def test_an_encoder_that_a_config_calls_a_decoder_is_told_by_asking_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    from transformers import BertConfig, BertLMHeadModel

    folder = save_with_tokenizer(
        BertLMHeadModel(BertConfig(is_decoder=True, **SIZES, **IDS)), tmp_path / "decoder"
    )
    assert load_model(find_model(str(folder), workspace)) is not None
    from transformers import XLNetConfig, XLNetLMHeadModel

    other = save_with_tokenizer(
        XLNetLMHeadModel(XLNetConfig(d_model=32, n_layer=2, n_head=2, d_inner=64, vocab_size=8192)),
        tmp_path / "xlnet",
    )
    with pytest.raises(
        ModelError, match="no causal language model|cannot be asked as a causal language model"
    ):
        load_model(find_model(str(other), workspace))


def test_a_recurrent_model_without_a_cache_is_trained_and_answers_alone_as_in_company(
    workspace: Workspace, small_file: Path, tmp_path: Path
) -> None:
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(5)
    config = MambaConfig(
        hidden_size=32,
        num_hidden_layers=2,
        state_size=4,
        vocab_size=8192,
        eos_token_id=0,
        pad_token_id=0,
    )
    mamba = save_with_tokenizer(MambaForCausalLM(config), tmp_path / "mamba")
    for method in ("full", "lora"):
        events = train(workspace, small_file, settings(mamba, method=method), method)
        assert not isinstance(events[-1], RunFailed), events[-1]
    chat_model = ModelCache(workspace).get("full")
    questions = [
        [Turn("user", text)]
        for text in ("Say A.", "Say something that is rather longer than that.")
    ]
    together = [
        one.text for one in chat_model.respond_all(questions, Sampling(max_new_tokens=6), never)
    ]
    alone = [
        one.text
        for question in questions
        for one in chat_model.respond_all([question], Sampling(max_new_tokens=6), never)
    ]
    assert together == alone
    ids = chat_model.encoder.encode_prompt(questions[0])
    for _ in range(6):  # by the whole text anew for each token, as plain transformers has it
        with torch.no_grad():
            ids.append(int(chat_model.model(torch.tensor([ids])).logits[0, -1].argmax()))
    assert chat_model.encoder.tokenizer.decode(ids[-6:]).startswith(alone[0])


def test_an_adapter_without_a_tokenizer_has_its_bases(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    train(workspace, small_file, settings(tiny_models["llama"]), "adapter")
    folder = workspace.model_folder("adapter")
    before = ask(workspace, "adapter")
    for path in folder.glob("*token*"):
        path.unlink()
    (folder / "chat_template.jinja").unlink()
    assert ask(workspace, "adapter") == before
    where = ["--workspace", str(workspace.folder)]
    assert core_main(["check", str(small_file), "--model", "adapter", *where]) == 0
    assert (
        core_main(
            [
                "train",
                str(small_file),
                "--model",
                "adapter",
                "--lora-rank",
                "64",
                "--epochs",
                "1",
                "--name",
                "on",
                *where,
            ]
        )
        == 0
    )
    assert "its own rank, alpha, dropout, kind and layers stay" in capsys.readouterr().err
    # what is written down is what was done
    assert RunStore(workspace).settings("on").lora_rank == 16


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
def test_an_adapter_with_added_tokens_makes_room_for_them(
    workspace: Workspace, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_models["llama"])
    base.resize_token_embeddings(8195)
    config = LoraConfig(
        r=4,
        target_modules=["q_proj"],
        modules_to_save=["lm_head", "embed_tokens"],
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(base, config)
    adapted.peft_config["default"].base_model_name_or_path = str(tiny_models["llama"])
    adapted.save_pretrained(tmp_path / "adapter")
    loaded = load_model(find_model(str(tmp_path / "adapter"), workspace))
    ids = torch.tensor([[1, 2, 8194]])
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, adapted.eval()(ids).logits, atol=1e-5)


def test_weights_are_written_in_the_type_of_their_base_by_choice(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    half = tmp_path / "half"
    save_with_tokenizer(
        AutoModelForCausalLM.from_pretrained(tiny_models["llama"]).to(torch.bfloat16), half
    )
    for name, saved, kind in (
        ("wide", "float32", torch.float32),
        ("narrow", "base", torch.bfloat16),
    ):
        train(workspace, small_file, settings(half, method="full", saved_type=saved), name)
        written = load_file(workspace.model_folder(name) / "model.safetensors")
        assert {tensor.dtype for tensor in written.values()} == {kind}
        assert json.loads((workspace.model_folder(name) / "config.json").read_text())[
            "dtype"
        ] == str(kind).removeprefix("torch.")
        assert ask(workspace, name) is not None


def test_identity_sees_a_change_anywhere_and_nothing_else(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    folder = shutil.copytree(tiny_models["llama"], tmp_path / "model")
    before = weights_identity(folder)
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor.clone() for name, tensor in tensors.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    assert weights_identity(folder) == before
    for name in tensors:  # training moves every number of what it trains
        save_file(
            {key: tensor + 1e-3 * (key == name) for key, tensor in tensors.items()},
            folder / "model.safetensors",
            {"format": "pt"},
        )
        assert weights_identity(folder) != before, name


def test_a_chat_models_own_template_is_its_style_unless_another_is_named(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chat = shutil.copytree(tiny_models["llama"], tmp_path / "chat")
    (chat / "chat_template.jinja").write_text(
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.role == 'assistant' %}{{ "
        "eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    where = ["--workspace", str(workspace.folder), "--epochs", "1"]
    assert core_main(["train", str(small_file), "--model", str(chat), "--name", "own", *where]) == 0
    assert (
        core_main(
            [
                "train",
                str(small_file),
                "--model",
                str(chat),
                "--style",
                "chatml",
                "--name",
                "named",
                *where,
            ]
        )
        == 0
    )
    assert [RunStore(workspace).settings(name).style for name in ("own", "named")] == [
        "model",
        "chatml",
    ]
    # the date that templates are told is one for the whole run
    assert RunStore(workspace).settings("own").day
    assert "validation loss" in capsys.readouterr().err


def test_it_is_told_where_no_adapter_lies_on_a_models_experts(
    workspace: Workspace, small_file: Path, tmp_path: Path
) -> None:
    from transformers import GptOssConfig, GptOssForCausalLM, MixtralConfig, MixtralForCausalLM

    usual = {
        **IDS,
        **SIZES,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
    }
    notices = []
    for number, (layout, config) in enumerate(
        ((GptOssForCausalLM, GptOssConfig), (MixtralForCausalLM, MixtralConfig))
    ):
        folder = save_with_tokenizer(layout(config(**usual)), tmp_path / str(number))
        started, *_, ended = train(workspace, small_file, settings(folder), f"run-{number}")
        assert isinstance(started, RunStarted) and not isinstance(ended, RunFailed), ended
        notices.append("No adapter fits this model's experts" in started.notice)
    assert notices == [True, False]
