"""Models to take away: whole, as adapters, as GGUF, for Ollama; from the page each by a process of
its own.
"""

import json
import os
import re
import shutil
import signal
import stat
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from gguf import GGUFReader

from core.cli.main import main
from core.datasets.conversation import Turn
from core.datasets.dataset import load_dataset
from core.errors import ModelError, StyleError, WorkspaceError
from core.export import background
from core.export import export_model as exporting
from core.export import write_gguf as writing
from core.export.background import LOG_FILE, ExportJobs
from core.export.choices import EXPORT_FORMS, QUANTISATIONS, Quantisation
from core.export.export_model import ExportOptions, export_model, lock_file
from core.export.gguf_tokenizer import cut_of
from core.export.ollama import chat_pieces, modelfile
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling
from core.models.load import load_model
from core.models.resolve import find_model
from core.processes.messages import Progress, read_messages
from core.prompts.chat_template import Style
from core.prompts.encoder import PromptEncoder, load_encoder
from core.prompts.tokenizer import load_tokenizer
from core.storage.atomic_write import aside_of
from core.storage.process_lock import held
from core.storage.workspace import Workspace
from core.training.kernels.equivalence import probe_logits
from core.training.runs.lifecycle import delete_run, rename_run
from core.training.runs.runner import add_run, execute
from core.training.settings import TrainingSettings
from tests.conftest import POCKET, save_with_tokenizer, write_small_file
from tests.unit.test_ollama import fill

pytestmark = pytest.mark.slow
_PATIENCE_S = 120
_MERGED = ExportOptions("merged")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]) -> Path:
    """A folder with a base, and a workspace in which the run tuned has an adapter and the run whole
    has none.
    """
    folder = tmp_path_factory.mktemp("tuned")
    base = Path(shutil.copytree(tiny_models["llama"], folder / "base"))
    rows = write_small_file(folder / "small.json")
    workspace = Workspace(folder / "workspace")
    usual = TrainingSettings(
        model=str(base), batch_size=16, learning_rate=3e-3, epochs=1, evaluations_per_epoch=1
    )
    for name, method in (("tuned", "lora"), ("whole", "full")):
        add_run(workspace, load_dataset(rows), replace(usual, method=method), name)  # type: ignore[arg-type]
        execute(workspace, name, lambda: False, [])
    workspace.close()
    return folder


@pytest.fixture
def adapted(tuned: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of that workspace."""
    workspace = Workspace(Path(shutil.copytree(tuned / "workspace", tmp_path / "workspace")))
    yield workspace
    workspace.close()


@pytest.fixture
def jobs(adapted: Workspace) -> Iterator[ExportJobs]:
    made = ExportJobs(adapted)
    yield made
    made.close()


def until(is_so: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() < started + _PATIENCE_S
        time.sleep(0.05)


def answers(word: str, workspace: Workspace) -> list[str]:
    model = ModelCache(workspace).get(word)
    asked = [[Turn("user", text)] for text in ("Add 2 and 3.", "Name a colour.")]
    found = model.respond_all(asked, Sampling(max_new_tokens=8), lambda: False)
    return [one.text for one in found]


def test_a_run_exported_from_the_page_tells_how_far_it_is_and_can_be_fetched(
    adapted: Workspace, jobs: ExportJobs
) -> None:
    assert jobs.status_message("tuned") == "" and jobs.made("tuned") == []
    jobs.start("tuned", _MERGED)
    assert jobs.is_going_on("tuned")
    assert jobs.status_message("tuned").startswith("Exporting tuned-merged.zip. ")
    with pytest.raises(WorkspaceError, match="is being exported: wait for it, or stop it"):
        jobs.start("tuned", _MERGED)
    until(lambda: not jobs.is_going_on("tuned"))
    assert jobs.status_message("tuned") == ""
    [made] = jobs.made("tuned")
    assert made.path == adapted.exports.resolve() / "models" / "tuned" / "tuned-merged.zip"
    assert made.size == made.path.stat().st_size > 100_000
    told = list(read_messages(jobs._exports["tuned"].process.messages))
    stages = list(dict.fromkeys(one.stage for one in told if isinstance(one, Progress)))
    assert stages == [
        "Loading the libraries and the model", "Adding the adapter", "Writing the model",
        "Loading what was written, and asking it", "Packing",
    ]  # fmt: skip
    assert Progress(stage="Adding the adapter", done=3, total=14, unit="layer") in told
    with zipfile.ZipFile(made.path) as packed:
        assert {name.partition("/")[0] for name in packed.namelist()} == {"tuned-merged"}
        packed.extractall(adapted.folder)
    assert answers(str(adapted.folder / "tuned-merged"), adapted) == answers("tuned", adapted)
    rename_run(adapted, "tuned", "other")
    assert [one.path.name for one in jobs.made("other")] == ["tuned-merged.zip"]
    delete_run(adapted, "other")
    assert jobs.made("other") == []


def test_an_export_that_is_stopped_or_killed_leaves_nothing_and_can_be_begun_again(
    adapted: Workspace, jobs: ExportJobs
) -> None:
    with pytest.raises(WorkspaceError, match="is not being exported"):
        jobs.stop("tuned")
    jobs.start("tuned", _MERGED)
    target = jobs._exports["tuned"].target
    aside_of(target).mkdir(parents=True)  # as if it had begun to write
    jobs.stop("tuned")
    assert jobs.status_message("tuned") == "The export was stopped; nothing is left of it."
    jobs.start("tuned", _MERGED)
    aside_of(target).mkdir(parents=True, exist_ok=True)
    os.kill(jobs._exports["tuned"].process.pid, signal.SIGKILL)
    until(lambda: not jobs.is_going_on("tuned"))
    assert "as the system does when memory runs out" in jobs.status_message("tuned")
    assert not target.exists() and not aside_of(target).exists()
    jobs.check_idle("tuned")
    jobs.start("tuned", _MERGED)
    os.kill(jobs._exports["tuned"].process.pid, signal.SIGSEGV)
    until(lambda: not jobs.is_going_on("tuned"))
    assert re.fullmatch(
        r"The export ended by itself \(signal 11\)\. Its output is in .*export\.log\.",
        jobs.status_message("tuned"),
    )
    assert (adapted.run_folder("tuned") / LOG_FILE).is_file()
    jobs.forget("tuned")
    jobs.forget("tuned")
    assert jobs.status_message("tuned") == ""


def test_what_is_loaded_and_written_is_told_with_the_time_that_is_left(
    adapted: Workspace, jobs: ExportJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.start("tuned", _MERGED)
    export = jobs._exports["tuned"]
    os.kill(export.process.pid, signal.SIGSTOP)
    export.weights_mib, export.expected_mib = 3.0, 3.0
    reports = export.process.messages
    reports.write_text('{"kind": "Progress", "stage": "Loading the libraries and the model"}\n')
    assert re.fullmatch(
        r"Exporting tuned-merged\.zip\. Loading the libraries and the model: \d+ of about 533 MiB "
        r"in memory …",
        jobs.status_message("tuned"),
    )
    half = '{"kind": "Progress", "stage": "Loading wh'
    reports.write_text(f'{{"kind": "Progress", "stage": "Writing the model"}}\n{half}')
    parts = aside_of(export.target) / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    (parts / "model.safetensors").write_bytes(bytes(2 * 2**20))
    assert jobs.status_message("tuned").endswith("Writing the model: 2 of 3 MiB …")
    line = {
        "kind": "Progress",
        "stage": "Writing the model",
        "done": 10,
        "total": 40,
        "unit": "tensor",
    }
    reports.write_text(json.dumps({**line, "done": 0}) + "\n")
    jobs.status_message("tuned")
    began = time.monotonic()
    monkeypatch.setattr("core.progress.time.monotonic", lambda: began + 20)
    reports.write_text(json.dumps(line) + "\n")
    assert re.search(r"tensor 10 of 40, about (59|60|61) s left …$", jobs.status_message("tuned"))
    monkeypatch.undo()
    jobs.close()
    assert not jobs.is_going_on("tuned") and not aside_of(export.target).exists()


def test_what_cannot_be_exported_is_said_in_a_sentence(
    adapted: Workspace, jobs: ExportJobs, tuned: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="has no adapter to take away"):
        jobs.start("whole", ExportOptions("adapter"))
    assert jobs.status_message("whole") == ""
    with held(lock_file(adapted), "not twice"):  # an app that was killed has left its export behind
        with pytest.raises(WorkspaceError, match="exported in this workspace: wait for it"):
            jobs.start("tuned", _MERGED)
        with pytest.raises(WorkspaceError, match="exported in this workspace: wait for it"):
            export_model(adapted, "tuned", _MERGED, tmp_path / "elsewhere")
    (tmp_path / "there").mkdir()
    with pytest.raises(WorkspaceError, match="is there already: give a name"):
        export_model(adapted, "tuned", _MERGED, tmp_path / "there")
    weights = tuned / "base" / "model.safetensors"
    whole = weights.read_bytes()
    try:
        weights.write_bytes(b"damaged")
        with pytest.raises(ModelError, match="is damaged: copy it again"):
            jobs.start("tuned", _MERGED)
    finally:
        weights.write_bytes(whole)
    assert list(tmp_path.glob(".*.new")) == []


def test_a_disk_or_memory_that_is_too_small_is_known_before(
    adapted: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    with pytest.raises(WorkspaceError, match=r"0\.0 GiB free, and .* are needed: make room"):
        export_model(adapted, "whole", ExportOptions("merged"), tmp_path / "out.zip")
    monkeypatch.undo()

    def too_large(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("core.models.load.load_model", too_large)
    with pytest.raises(WorkspaceError, match="not enough memory for the whole model"):
        export_model(adapted, "whole", ExportOptions("merged"), tmp_path / "out.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


@pytest.mark.parametrize("numbers", ["f32", "f16", "q8_0", "q4_0"])
def test_a_gguf_file_is_read_back_with_the_same_answers(
    numbers: Quantisation, adapted: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "tuned.gguf"
    words = [
        "export",
        "--model",
        "tuned",
        "--as",
        "gguf",
        "--quantization",
        numbers,
        "--out",
        str(path),
    ]
    assert main([*words, "--workspace", str(adapted.folder)]) == 0
    fields = GGUFReader(path).fields
    assert fields["general.name"].contents() == "tuned"
    encoder = load_encoder(find_model("tuned", adapted).folder, tuned_style="alpaca")
    assert fields["tokenizer.chat_template"].contents() == encoder.style.template
    assert fields["tokenizer.ggml.eos_token_id"].contents() == encoder.end_id
    assert fields["tokenizer.ggml.add_bos_token"].contents() is False
    # tokens, template and end come back with the weights
    assert find_model(str(path), adapted).kind == "gguf"
    if numbers == "f32":
        assert answers(str(path), adapted) == answers("tuned", adapted)
    read = load_model(find_model(str(path), adapted), on_cpu=True)
    expected = probe_logits(load_model(find_model("tuned", adapted), on_cpu=True))
    nearness = {"f32": 1e-5, "f16": 2e-3, "q8_0": 0.05, "q4_0": 0.5}[numbers]
    difference = (probe_logits(read) - expected).norm() / (expected - expected.mean()).norm()
    assert difference < nearness
    kinds = {tensor.tensor_type.name for tensor in GGUFReader(path).tensors}
    assert numbers.upper() in kinds and "F32" in kinds  # vectors stay whole


def test_a_name_that_llama_cpp_takes_for_anothers_is_written_otherwise(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = shutil.copytree(POCKET, tmp_path / "my-Phi-3-like")
    export_model(workspace, str(folder), ExportOptions("gguf"), tmp_path / "out.gguf")
    name = GGUFReader(tmp_path / "out.gguf").fields["general.name"].contents()
    assert name.endswith("/my-phi 3-like")


def test_pocket_answers_alike_out_of_sixteen_bits(workspace: Workspace, tmp_path: Path) -> None:
    export_model(workspace, "pocket", ExportOptions("gguf", "f16"), tmp_path / "pocket.gguf")
    assert answers(str(tmp_path / "pocket.gguf"), workspace) == answers("pocket", workspace)


@pytest.mark.parametrize("layout", ["gpt2", "qwen3", "mistral", "qwen2", "phi3", "stretched"])
def test_every_layout_is_read_back_by_transformers(layout: str, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    small: dict[str, Any] = {
        "vocab_size": 8192, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
    }  # fmt: skip
    if layout != "gpt2":
        small |= {"intermediate_size": 64, "num_key_value_heads": 2, "initializer_range": 0.3}
    if layout == "mistral":
        small |= {"sliding_window": 16}
    if layout == "stretched":
        small["rope_parameters"] = {
            "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
        }  # fmt: skip
    kind = "llama" if layout == "stretched" else layout
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **small)).eval()
    folder = save_with_tokenizer(model, tmp_path / "model")
    workspace = Workspace(tmp_path / "workspace")
    export_model(workspace, str(folder), ExportOptions("gguf", "f32"), tmp_path / "out.gguf")
    reader = GGUFReader(tmp_path / "out.gguf")
    names = {tensor.name for tensor in reader.tensors}
    assert ("rope_freqs.weight" in names) == (layout == "stretched")
    if layout == "stretched":
        [factors] = [one.data for one in reader.tensors if one.name == "rope_freqs.weight"]
        assert 1 < factors[0] < 8 and factors[-1] == pytest.approx(8)
    architecture = reader.fields["general.architecture"].contents()
    context = reader.fields[f"{architecture}.context_length"].contents()
    assert context == (16 if layout == "mistral" else 64)  # no further than its window
    check_other_weights_are_noticed(tmp_path / "out.gguf", model)
    workspace.close()


def check_other_weights_are_noticed(path: Path, model: Any) -> None:
    expected = probe_logits(model)
    writing.check_gguf(path, model.config, expected, "f32")
    with pytest.raises(ModelError, match="answers otherwise"):
        writing.check_gguf(path, model.config, expected.flip(1), "f32")


def test_layouts_and_tokenizers_without_a_place_in_gguf_are_refused(
    tmp_path: Path, tiny_models: dict[str, Path], workspace: Workspace
) -> None:
    folder = Path(shutil.copytree(tiny_models["llama"], tmp_path / "odd"))
    config = json.loads((folder / "config.json").read_text())
    for changes, sentence in (
        ({"model_type": "bloom"}, "layout 'bloom' cannot be written as GGUF here; those of gpt2"),
        (
            {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}},
            "are stretched",
        ),
    ):
        (folder / "config.json").write_text(json.dumps({**config, **changes}))
        with pytest.raises(ModelError, match=sentence):
            export_model(workspace, str(folder), ExportOptions("gguf"), tmp_path / "out.gguf")
    (folder / "config.json").write_text(json.dumps(config))
    document = json.loads((folder / "tokenizer.json").read_text())
    for changes, sentence in (
        ({"normalizer": {"type": "Lowercase"}}, "is no byte-level BPE"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                            "use_regex": True}}, "llama.cpp has no name for"),
    ):  # fmt: skip
        (folder / "tokenizer.json").write_text(json.dumps({**document, **changes}))
        with pytest.raises(ModelError, match=sentence):
            export_model(workspace, str(folder), ExportOptions("gguf"), tmp_path / "out.gguf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["odd", "workspace"]


def test_ways_of_cutting_text_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    """The same vocabulary, of merged digits and words, read in four ways."""
    for name, pattern in {
        "gpt-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    }.items():
        document = json.loads((POCKET / "tokenizer.json").read_text())
        vocabulary, merges = document["model"]["vocab"], document["model"]["merges"]
        for pair in (
            ("1", "2"),
            ("12", "3"),
            ("123", "4"),
            (".", "Ċ"),
            ("'", "S"),
            ("(", "a"),
            ("Ċ", "Ċ"),
        ):
            vocabulary.setdefault("".join(pair), len(vocabulary) + 1)
            merges.insert(0, list(pair))
        document["model"]["ignore_merges"] = name == "llama-bpe"
        split = {
            "type": "Split",
            "pattern": {"Regex": pattern},
            "behavior": "Isolated",
            "invert": False,
        }
        document["pre_tokenizer"]["pretokenizers"][0] = split
        folder = tmp_path / name
        folder.mkdir()
        (folder / "tokenizer.json").write_text(json.dumps(document))
        assert cut_of(load_tokenizer(folder)).name == name


def test_an_adapter_goes_alone_and_is_put_on_its_base_by_peft(
    adapted: Workspace, tuned: Path, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    export_model(adapted, "tuned", ExportOptions("adapter"), tmp_path / "adapter")
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tuned / "base"), tmp_path / "adapter"
    )
    expected = probe_logits(load_model(find_model("tuned", adapted), on_cpu=True))
    assert torch.allclose(probe_logits(model), expected, atol=1e-5)


def test_a_model_for_ollama_is_a_folder_with_a_modelfile(
    adapted: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "--model", "tuned", "--as", "ollama", "--out", str(tmp_path / "ollama")]
    assert main([*words, "--workspace", str(adapted.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"out": str(tmp_path / "ollama")}
    assert {path.name for path in (tmp_path / "ollama").iterdir()} == {"Modelfile", "model.gguf"}
    text = (tmp_path / "ollama" / "Modelfile").read_text(encoding="utf-8")
    assert "FROM ./model.gguf\n" in text and 'PARAMETER stop "<|endoftext|>"\n' in text
    [template] = re.findall(r'TEMPLATE """(.*?)"""', text, re.DOTALL)
    encoder = load_encoder(find_model("tuned", adapted).folder, tuned_style="alpaca")
    turns = [Turn("user", "Hi"), Turn("assistant", "Yes"), Turn("user", "Then?")]
    assert fill(template, turns) == encoder.prompt_text(turns)


def test_a_style_that_ollama_cannot_write_is_refused_before_anything_is_loaded(
    adapted: Workspace, tmp_path: Path
) -> None:
    # counts its rounds, as no fixed pieces do
    counted = tmp_path / "counted.jinja"
    counted.write_text(
        "{% for m in messages %}{{ loop.index }}. {{ m['content'] }}{% if m['role'] == 'assistant' %}"
        "{{ eos_token }}{% endif %}{% if m['role'] != 'assistant' %} ={% endif %}{% endfor %}"
    )
    with pytest.raises(
        StyleError, match=r"in a way that Ollama's templates cannot: export as gguf"
    ):
        export_model(
            adapted, "whole", ExportOptions("ollama", style=str(counted)), tmp_path / "ollama"
        )
    style = Style("mine", "{{ messages[0]['content'] }}\n>", "", "", "")
    encoder = PromptEncoder(load_tokenizer(POCKET), style)
    with pytest.raises(StyleError):
        chat_pieces(encoder)
    endless = replace(load_encoder(POCKET, "alpaca").style, eos="", end="")
    text = modelfile(PromptEncoder(load_tokenizer(POCKET), endless), 512)
    assert 'PARAMETER stop "### Instruction:"' in text


def test_four_bits_of_llama_cpp_are_made_by_its_own_program(
    adapted: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, target = ExportOptions("gguf", "q4_k_m"), tmp_path / "small.gguf"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelError, match="llama-quantize, which is not on the path: install"):
        export_model(adapted, "whole", options, target)
    program = tmp_path / "llama-quantize"
    for script, outcome in (
        ("#!/bin/sh\n/bin/echo >&2 no such type\nexit 3\n", "llama-quantize failed: no such type"),
        ('#!/bin/sh\ntest "$3" = Q4_K_M && /bin/cp "$1" "$2"\n', ""),
    ):
        program.write_text(script)
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        if outcome:
            with pytest.raises(ModelError, match=outcome):
                export_model(adapted, "whole", options, target)
            assert not target.exists()
    export_model(adapted, "whole", options, target)
    assert target.is_file() and list(tmp_path.glob(".*")) == []


def test_every_form_has_an_ending() -> None:
    assert set(background._ENDINGS) == set(EXPORT_FORMS) and len(QUANTISATIONS) == len(
        set(QUANTISATIONS)
    )
