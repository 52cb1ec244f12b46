"""What must hold of training whatever the model: on random two-layer checkpoints, in seconds."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.cli.main import main
from core.datasets.dataset import load_dataset
from core.errors import ModelError, SettingsError, UserError, WorkspaceError
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling
from core.models import load as load_module
from core.models.layout import blocks_of
from core.models.load import enable_gradient_checkpointing, load_model
from core.models.lora import AdapterShape, add_lora
from core.models.resolve import find_model
from core.prompts.collate import IGNORED
from core.prompts.encoder import EncodedRow, load_encoder, make_row
from core.storage.workspace import Workspace
from core.training.events import (
    CheckpointSaved,
    EvalDone,
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    SampleAnswered,
    StepDone,
)
from core.training.kernels.batch import Batch, collate
from core.training.kernels.batch_loss import BatchLoss
from core.training.kernels.chunked_cross_entropy import chunked_cross_entropy
from core.training.kernels.flat_batch import _grouped, flatten
from core.training.kernels.last_layer import skip_unread_positions
from core.training.planning.plan import plan_run
from core.training.runs.lifecycle import check_resumable
from core.training.runs.runner import add_run, execute, is_alive, mark_interrupted
from core.training.runs.store import RunStore
from core.training.settings import TrainingSettings, change_settings
from tests.conftest import ROOT
from ui.train.views import ready_markup

pytestmark = pytest.mark.slow
LAYOUTS = ["gpt2", "llama", "qwen3"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def settings(model: Path, **changes: object) -> TrainingSettings:
    base = TrainingSettings(
        model=str(model), epochs=2, batch_size=4, learning_rate=3e-3, watched_prompts=1, lora_rank=4
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def run(
    workspace: Workspace,
    file: Path,
    chosen: TrainingSettings,
    name: str = "",
    stop: Callable[[list[Event]], bool] = lambda _: False,
) -> tuple[str, list[Event]]:
    events: list[Event] = []
    name = add_run(workspace, load_dataset(file), chosen, name)
    execute(workspace, name, lambda: stop(events), [events.append])
    return name, events


def weights(workspace: Workspace, name: str) -> dict[str, torch.Tensor]:
    file = next(workspace.model_folder(name).glob("*.safetensors"))
    return load_file(file)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("method", ["full", "lora"])
def test_every_layout_trains_saves_and_reloads_with_identical_logits(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], layout: str, method: str
) -> None:
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name, events = run(workspace, small_file, settings(tiny_models[layout], method=method))
    losses = [event.loss for event in events if isinstance(event, EvalDone)]
    assert losses[-1] < losses[0]
    folder = workspace.model_folder(name)
    ids = torch.tensor([[5, 6, 7, 8]])
    ours = ModelCache(workspace.find_run_model).get(name).model
    plain = (
        (AutoPeftModelForCausalLM if method == "lora" else AutoModelForCausalLM)
        .from_pretrained(folder)
        .eval()
    )
    with torch.no_grad():
        assert torch.equal(ours(ids).logits, plain(ids).logits)
    assert not list(folder.glob("*.bin"))
    # our attention's name means nothing elsewhere
    assert not any("flat_rows" in file.read_text() for file in folder.glob("*.json"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = load_encoder(folder, "alpaca")
    prompt = load_dataset(small_file).examples[1].prompt
    messages = [{"role": turn.role, "content": turn.text} for turn in prompt]
    assert tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=False
    ) == encoder.prompt_text(prompt)
    assert tokenizer.eos_token_id == encoder.end_id
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [0]
    assert json.loads((folder / "fuata.json").read_text())["style"] == "alpaca"


def load(folder: Path) -> Any:
    return load_model(find_model(str(folder), lambda _: None))


def gradients(model: Any) -> torch.Tensor:
    return torch.cat(
        [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    )


def plain_loss(model: Any, batch: Batch) -> torch.Tensor:
    """What transformers itself makes of a padded batch with its mask."""
    mask = (torch.arange(batch.inputs.shape[1]) < batch.lengths[:, None]).long()
    logits = model(input_ids=batch.inputs, attention_mask=mask).logits
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("mask_prompt", [True, False])
@pytest.mark.parametrize(
    "chosen", [slice(0, 6), slice(1, 5), slice(1, 2)], ids=["mixed", "one preamble", "one row"]
)
def test_loss_and_gradients_are_those_of_transformers_own_path(
    tiny_models: dict[str, Path],
    small_file: Path,
    layout: str,
    method: str,
    mask_prompt: bool,
    chosen: slice,
) -> None:
    encoder = load_encoder(tiny_models[layout], "alpaca")
    rows = [
        encoder.encode_example(example) for example in load_dataset(small_file).examples[chosen]
    ]
    batch = collate(rows, 0, mask_prompt=mask_prompt)
    ours, theirs = load(tiny_models[layout]), load(tiny_models[layout])
    if method == "lora":
        ours, theirs = (
            add_lora(
                model, AdapterShape(4, 8, 0.0), seed=1, base_model=str(tiny_models[layout])
            ).eval()
            for model in (ours, theirs)
        )
        # a fresh adapter's second matrix is zero, and half the gradients with it
        with torch.no_grad():
            for model in (ours, theirs):
                torch.manual_seed(1)
                for name, parameter in model.named_parameters():
                    if "lora_B" in name:
                        parameter.normal_(std=0.05)
    batch_loss = BatchLoss(ours)
    assert batch_loss.unsupported_reason == ""
    # the second's gradients are added to the first's
    for part in (collate(rows[:1], 0, mask_prompt=mask_prompt), batch):
        mine, expected = batch_loss.backward(part, 7), plain_loss(theirs, part) / 7
        expected.backward()  # type: ignore[no-untyped-call]
        assert mine.item() == pytest.approx(expected.item(), rel=1e-5)
        assert batch_loss.summed(part).item() == pytest.approx(7 * expected.item(), rel=1e-5)
    one, other = gradients(ours), gradients(theirs)
    assert float((one - other).norm() / other.norm()) < 1e-5


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("learnt", ["full", "from the prompt on"])
def test_attention_in_groups_of_like_length_changes_nothing(
    tiny_models: dict[str, Path],
    small_file: Path,
    layout: str,
    learnt: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = load_encoder(tiny_models[layout], "alpaca")
    rows = [encoder.encode_example(example) for example in load_dataset(small_file).examples[:7]]
    batch = collate([*rows, rows[2], rows[0].cut(9)], 0, mask_prompt=learnt != "full")
    found = []
    for set_up in (0, 10**9):
        monkeypatch.setattr("core.training.kernels.flat_batch._SET_UP", set_up)
        model = load(tiny_models[layout])
        batch_loss = BatchLoss(model)
        groups = flatten(batch, torch.device("cpu"), shares=True, layout="grouped").groups
        found.append((batch_loss.backward(batch, 7).item(), gradients(model), len(groups)))
    (in_groups, one, several), (at_once, other, single) = found
    assert several == len({len(row.ids) for row in [*rows, rows[0].cut(9)]}) > single == 1
    assert in_groups == pytest.approx(at_once, rel=1e-6)
    assert float((one - other).norm() / other.norm()) < 1e-5


@pytest.mark.parametrize(
    ("lengths", "set_up", "groups"),
    [
        ([5], 0.0, ((1, 5),)),
        ([5, 5, 5], 0.0, ((3, 5),)),
        ([2, 9, 9, 3], 0.0, ((2, 9), (1, 3), (1, 2))),
        ([2, 9, 9, 3], 10.0, ((2, 9), (2, 3))),
        ([2, 9, 9, 3], 200.0, ((4, 9),)),
        ([2, 9, 9, 3], math.inf, ((4, 9),)),
    ],
)
def test_rows_are_grouped_where_it_saves_more_than_it_costs(
    lengths: list[int], set_up: float, groups: tuple[tuple[int, int], ...]
) -> None:
    found, starts = _grouped(lengths, set_up)
    assert found == groups
    places = [
        place for row, start in enumerate(starts) for place in range(start, start + lengths[row])
    ]
    assert len(set(places)) == sum(lengths) and max(places) < sum(
        count * length for count, length in groups
    )


def test_an_end_token_inside_a_row_learns_what_transformers_lets_it_learn(
    tiny_models: dict[str, Path],
) -> None:
    """It is the padding too, whose row of the input layer transformers keeps from learning."""
    ours, theirs = load(tiny_models["qwen3"]), load(tiny_models["qwen3"])
    row = EncodedRow(1, array("i", (5, 6, 0, 7, 6, 8, 0)), bytes((0, 1, 1, 0, 0, 1, 1)))
    batch = collate([row, make_row(2, (5,), (6, 9, 0))], 0, mask_prompt=True)
    BatchLoss(ours).backward(batch, 1)
    plain_loss(theirs, batch).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(gradients(ours), gradients(theirs), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("trained", [True, False])
def test_a_loss_in_chunks_is_that_of_autograd(
    monkeypatch: pytest.MonkeyPatch, bias: bool, trained: bool
) -> None:
    monkeypatch.setattr("core.training.kernels.chunked_cross_entropy._CHUNK_NUMBERS", 0)
    monkeypatch.setattr("core.training.kernels.chunked_cross_entropy._LEAST_ROWS", 4)
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Linear(6, 11, bias=bias).requires_grad_(trained) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    hidden, targets, weights = (
        torch.randn(10, 6, requires_grad=True),
        torch.randint(0, 11, (10,)),
        torch.rand(10),
    )
    found, gradient = chunked_cross_entropy(ours, hidden.detach(), targets, weights, learns=True)
    expected = (
        torch.nn.functional.cross_entropy(theirs(hidden), targets, reduction="none") @ weights
    )
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, expected.detach())
    torch.testing.assert_close(gradient, hidden.grad)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (mine.grad is None) == (not trained)
        if trained:
            torch.testing.assert_close(mine.grad, other.grad)
    assert chunked_cross_entropy(ours, hidden.detach(), targets, weights, learns=False)[1] is None


def distinct_beginnings(rows: Sequence[EncodedRow]) -> int:
    """How many tokens must be computed when nothing is computed twice."""
    return len({tuple(row.ids[:length]) for row in rows for length in range(1, len(row.ids))})


def test_only_real_tokens_are_computed_and_common_beginnings_once(
    tiny_models: dict[str, Path], small_file: Path
) -> None:
    encoder = load_encoder(tiny_models["llama"], "alpaca")
    rows = [encoder.encode_example(example) for example in load_dataset(small_file).examples[:6]]
    batch = collate(rows, 0, mask_prompt=True)
    model = load(tiny_models["llama"])
    batch_loss = BatchLoss(model)
    seen: list[int] = []
    model.model.layers[0].mlp.register_forward_hook(
        lambda _m, values, _o: seen.append(values[0].shape[:2].numel())
    )
    batch_loss.summed(batch)
    assert seen == [distinct_beginnings(rows)]
    assert seen[0] < 0.7 * int(batch.lengths.sum())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("method", "frugal"), [("full", False), ("lora", False), ("full", True), ("lora", True)]
)
def test_the_last_layer_is_computed_only_where_something_is_learnt(
    tiny_models: dict[str, Path], small_file: Path, layout: str, method: str, *, frugal: bool
) -> None:
    encoder = load_encoder(tiny_models[layout], "alpaca")
    rows = [encoder.encode_example(example) for example in load_dataset(small_file).examples[:6]]
    batch = collate(rows, 0, mask_prompt=True)
    model = load(tiny_models[layout])
    if frugal:
        enable_gradient_checkpointing(model)
    layer = blocks_of(model)[-1]
    adapted = (
        add_lora(model, AdapterShape(4, 8, 0.0), seed=1, base_model="x")
        if method == "lora"
        else model
    )
    adapted.train(frugal)  # in evaluation all is kept
    seen: dict[str, int] = {}
    for name in ("mlp.c_fc", "mlp.up_proj", "self_attn.k_proj"):
        with suppress(AttributeError):
            layer.get_submodule(name).register_forward_hook(
                lambda _m, values, _o, name=name: seen.update({name: values[0].shape[:-1].numel()})
            )
    batch_loss = BatchLoss(adapted)
    computed, learnt = distinct_beginnings(rows), int((batch.targets != IGNORED).sum())
    batch_loss.backward(batch, 1)
    assert learnt < 0.5 * computed
    assert seen.pop("self_attn.k_proj", computed) == computed  # an answer attends to its prompt
    assert seen and set(seen.values()) == {learnt}
    adapted(batch.inputs)  # as anybody else calls it: everywhere
    assert set(seen.values()) == {batch.inputs.numel()}


def test_a_last_layer_that_does_not_bear_it_is_left_as_it_is(tiny_models: dict[str, Path]) -> None:
    class Choosy(torch.nn.Module):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            if hidden.shape[1] < 13:
                raise ValueError("too few")
            return hidden.sin()

    model = load(tiny_models["llama"])
    model.model.layers[-1].mlp = Choosy()
    undo = skip_unread_positions(model)
    assert "forward" in model.model.layers[-1].mlp.__dict__
    undo()
    assert "forward" not in model.model.layers[-1].mlp.__dict__
    assert BatchLoss(model).unsupported_reason == ""  # flat rows it bears
    assert "forward" not in model.model.layers[-1].mlp.__dict__


def test_no_beginning_is_shared_where_dropout_must_differ_from_row_to_row(
    tiny_models: dict[str, Path], small_file: Path
) -> None:
    encoder = load_encoder(tiny_models["gpt2"], "alpaca")
    rows = [encoder.encode_example(example) for example in load_dataset(small_file).examples[1:5]]
    batch = collate(rows, 0, mask_prompt=True)
    model = load(tiny_models["gpt2"])
    batch_loss = BatchLoss(model)
    seen: list[int] = []
    model.transformer.h[0].mlp.register_forward_hook(
        lambda _m, values, _o: seen.append(values[0].shape[:2].numel())
    )
    for mode in (False, True):
        model.train(mode)
        batch_loss.summed(batch)
    every = int(batch.lengths.sum())
    assert seen == [distinct_beginnings(rows), every]


@pytest.mark.parametrize("kind", ["dropout in a function", "embeddings changed in place"])
def test_models_that_do_things_in_their_own_way_are_found_out(kind: str) -> None:
    from transformers import AutoModelForCausalLM, CTRLConfig, OPTConfig

    sizes = {"vocab_size": 100, "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0}
    config = (
        OPTConfig(
            hidden_size=32,
            ffn_dim=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            word_embed_proj_dim=32,
            **sizes,
        )
        if kind == "dropout in a function"
        else CTRLConfig(
            n_embd=32,
            dff=48,
            n_layer=2,
            n_head=2,
            n_positions=64,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            **sizes,
        )
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    rows = [make_row(n, range(1, 9), (9, 10, 11, n + 20, n + 21)) for n in range(4)]
    batch = collate(rows, 0, mask_prompt=True)
    batch_loss = BatchLoss(model)
    if kind == "dropout in a function":
        seen: list[int] = []
        model.model.decoder.layers[0].fc1.register_forward_hook(
            lambda _m, values, _o: seen.append(values[0].shape[:-1].numel())
        )
        batch_loss.backward(batch, 1)  # in training: no token may be shared
        assert seen == [int(batch.lengths.sum())]
    else:
        batch_loss.backward(batch, 1)
        mine = gradients(model)
        model.zero_grad()
        plain_loss(model, batch).backward()  # type: ignore[no-untyped-call]
        torch.testing.assert_close(mine, gradients(model), rtol=1e-4, atol=1e-5)


def test_generation_with_padding_and_cache_goes_on_as_before(tiny_models: dict[str, Path]) -> None:
    """Watched prompts are answered by the very model that is trained on flat rows."""
    model = load(tiny_models["qwen3"])
    ids, mask = (
        torch.tensor([[0, 0, 5, 6], [7, 8, 9, 10]]),
        torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]),
    )
    asked = {
        "input_ids": ids,
        "attention_mask": mask,
        "max_new_tokens": 8,
        "do_sample": False,
        "eos_token_id": None,
    }
    before = model.generate(**asked)
    assert BatchLoss(model).unsupported_reason == ""
    assert torch.equal(model.generate(**asked), before)


@pytest.mark.parametrize("kind", ["alibi", "recurrent", "window"])
def test_a_model_of_another_kind_is_trained_on_padded_rows_and_says_so(
    tiny_models: dict[str, Path], kind: str
) -> None:
    from transformers import AutoModelForCausalLM, BloomConfig, MambaConfig, MistralConfig

    configs = {
        "alibi": BloomConfig(vocab_size=100, hidden_size=32, n_layer=2, n_head=2),
        "recurrent": MambaConfig(vocab_size=100, hidden_size=32, num_hidden_layers=2, state_size=8),
        "window": MistralConfig(
            vocab_size=100,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            sliding_window=16,
        ),
    }
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(configs[kind]).eval()
    lengths = (20, 24)
    rows = [
        make_row(n, range(n, n + 8), range(n + 8, n + length)) for n, length in enumerate(lengths)
    ]
    batch_loss = BatchLoss(model)
    # a window is in the way only of rows that are longer
    assert bool(batch_loss.unsupported_reason) == (kind != "window")
    batch = collate(rows, 0, mask_prompt=True)
    with torch.no_grad():
        assert batch_loss.summed(batch).item() == pytest.approx(
            plain_loss(model, batch).item(), rel=1e-5
        )


def test_prompt_tokens_get_no_gradient(tiny_models: dict[str, Path]) -> None:
    model = load_model(find_model(str(tiny_models["llama"]), lambda _: None))
    row = make_row(1, (5, 6, 7), (8, 0))
    BatchLoss(model).backward(collate([row], 0, mask_prompt=True), 1)
    gradient = model.get_output_embeddings().weight.grad
    # only positions 2 and 3 may contribute
    hidden = model.model(input_ids=torch.tensor([[5, 6, 7, 8]])).last_hidden_state[0]
    probabilities = model.get_output_embeddings()(hidden).softmax(-1)
    expected = sum(
        torch.outer(
            probabilities[i] - torch.nn.functional.one_hot(torch.tensor(t), 8192), hidden[i]
        )
        for i, t in ((2, 8), (3, 0))
    )
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", ["llama", "qwen3"])
def test_one_row_times_eight_passes_equals_eight_rows_at_once(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], layout: str
) -> None:
    chosen = settings(tiny_models[layout], epochs=1, watched_prompts=0)
    _, whole = run(workspace, small_file, replace(chosen, batch_size=8, gradient_accumulation=1))
    _, parts = run(workspace, small_file, replace(chosen, batch_size=1, gradient_accumulation=8))
    one, other = (
        [event.loss for event in events if isinstance(event, StepDone)] for events in (whole, parts)
    )
    assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize(
    ("layout", "method"), [("gpt2", "full"), ("llama", "lora"), ("qwen3", "full")]
)
def test_gradient_checkpointing_changes_nothing_but_what_is_kept(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], layout: str, method: str
) -> None:
    """GPT-2's layout has dropout: what is computed again must drop the same."""
    chosen = settings(tiny_models[layout], method=method, epochs=1, watched_prompts=0)
    _, usual = run(workspace, small_file, chosen)
    _, frugal = run(workspace, small_file, replace(chosen, gradient_checkpointing=True))
    one, other = (
        [(e.loss, e.gradient_norm) for e in events if isinstance(e, StepDone)]
        for events in (usual, frugal)
    )
    assert one == [pytest.approx(pair, rel=1e-5) for pair in other]
    assert frugal[0] == replace(usual[0], run=frugal[0].run)  # type: ignore[type-var]


# that torch's tracer looks at, and hides from people
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_a_compiled_decoder_computes_the_same(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Traced as torch.compile traces it, but run as it stands: the C++ compiler takes minutes."""
    chosen = settings(tiny_models["qwen3"], epochs=1, watched_prompts=0)
    _, usual = run(workspace, small_file, chosen)
    monkeypatch.setattr(
        load_module, "compile_decoder", partial(load_module.compile_decoder, backend="eager")
    )
    name, compiled = run(workspace, small_file, replace(chosen, compiled=True))
    one, other = (
        [(e.loss, e.gradient_norm) for e in events if isinstance(e, StepDone)]
        for events in (usual, compiled)
    )
    assert one == [pytest.approx(pair, rel=1e-5) for pair in other]
    assert isinstance(compiled[0], RunStarted) and compiled[0].notice == ""
    assert not any("_orig_mod" in weight for weight in weights(workspace, name))


def test_products_in_bfloat16_learn_nearly_the_same_into_weights_of_float32(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    chosen = settings(tiny_models["qwen3"], epochs=2, watched_prompts=0)
    _, exact = run(workspace, small_file, chosen)
    name, rough = run(workspace, small_file, replace(chosen, precision="bfloat16"))
    one, other = (
        [event.loss for event in events if isinstance(event, StepDone)] for events in (exact, rough)
    )
    assert one != other
    assert one == pytest.approx(other, rel=0.01)
    assert {weight.dtype for weight in weights(workspace, name).values()} == {torch.float32}


def test_padding_and_company_leave_a_rows_loss_unchanged(
    tiny_models: dict[str, Path], small_file: Path
) -> None:
    model = load_model(find_model(str(tiny_models["qwen3"]), lambda _: None))
    encoder = load_encoder(tiny_models["qwen3"], "alpaca")
    rows = [encoder.encode_example(example) for example in load_dataset(small_file).examples[:6]]
    with torch.no_grad():
        loss = BatchLoss(model)
        together = loss.summed(collate(rows, 0, mask_prompt=True)).item()
        alone = sum(loss.summed(collate([row], 0, mask_prompt=True)).item() for row in rows)
    assert together == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize(("layout", "method"), [("gpt2", "full"), ("llama", "lora")])
def test_a_stopped_and_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], layout: str, method: str
) -> None:
    """GPT-2's layout has dropout, so the randomness of each step must come back too."""
    chosen = settings(tiny_models[layout], method=method, evaluations_per_epoch=1, lora_dropout=0.1)
    whole, _ = run(workspace, small_file, chosen)
    broken, _ = run(
        workspace,
        small_file,
        chosen,
        stop=lambda events: sum(isinstance(event, StepDone) for event in events) >= 11,
    )
    assert RunStore(workspace).find(broken)["state"] == "stopped"
    check_resumable(workspace, broken)
    events: list[Event] = []
    execute(workspace, broken, lambda: False, [events.append])
    assert isinstance(events[0], RunStarted) and events[0].step == 11
    assert same(weights(workspace, whole), weights(workspace, broken))
    runs = RunStore(workspace)
    curve = [
        [(row["step"], row["loss"]) for row in runs.metrics(name, "train")]
        for name in (whole, broken)
    ]
    assert curve[0] == curve[1]
    with pytest.raises(WorkspaceError, match="reached its end"):
        check_resumable(workspace, broken)


def test_kill_9_at_any_moment_loses_nothing_acknowledged_and_the_run_ends_the_same(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    options = f"--model {tiny_models['gpt2']} --method full --epochs 6 --batch-size 4 --learning-rate 0.003".split()
    options += ["--checkpoint-every-s", "0"]
    whole = command(workspace, [str(small_file), "--name", "whole", *options])
    whole.wait(120)
    process = command(workspace, [str(small_file), "--name", "killed", *options])
    acknowledged: list[int] = []
    resumed_at: list[int] = []
    for _ in range(2):
        seen = 0
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            seen += event["event"] == "StepDone"
            if event["event"] == "RunStarted":
                resumed_at.append(event["step"])
            if event["event"] == "StepDone":
                acknowledged.append(event["step"])
            if seen > 8 and event["event"] == "StepDone":
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
        reopened = Workspace(workspace.folder)
        assert mark_interrupted(reopened) == ["killed"]
        stored = {row["step"] for row in RunStore(reopened).metrics("killed", "train")}
        assert set(acknowledged) <= stored
        reopened.close()
        process = command(workspace, ["--name", "killed", "--resume"])
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    resumed_at.append(json.loads(output.splitlines()[0])["step"])
    # a slow disk is written to less often
    assert resumed_at[0] == 0 < resumed_at[1] <= resumed_at[2]
    assert same(weights(workspace, "whole"), weights(workspace, "killed"))


def command(workspace: Workspace, words: Sequence[str]) -> "subprocess.Popen[str]":
    line = [
        sys.executable,
        "-m",
        "core",
        "train",
        *words,
        "--workspace",
        str(workspace.folder),
        "--json",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        line,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def test_ctrl_c_stops_keeps_and_can_be_resumed(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    process = command(
        workspace,
        [
            str(small_file),
            "--name",
            "stopped",
            "--model",
            str(tiny_models["llama"]),
            "--epochs",
            "200",
        ],
    )
    assert process.stdout is not None
    for line in process.stdout:
        if '"StepDone"' in line:
            break
    process.send_signal(signal.SIGTERM)
    rest = [json.loads(line) for line in process.stdout]
    assert process.wait(60) == 0
    assert rest[-1]["event"] == "RunFinished" and rest[-1]["reason"] == "stopped"
    assert workspace.model_folder("stopped").is_dir()
    check_resumable(workspace, "stopped")


def test_events_tell_the_whole_story_in_order(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    name, events = run(workspace, small_file, settings(tiny_models["qwen3"]))
    kinds = [type(event) for event in events]
    assert kinds[:3] == [RunStarted, EvalDone, SampleAnswered]
    assert kinds[-1] is RunFinished
    started = events[0]
    assert isinstance(started, RunStarted)
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [step.step for step in steps] == list(range(1, started.total_steps + 1))
    evaluations = [event for event in events if isinstance(event, EvalDone)]
    assert [event.step for event in evaluations] == [0, 5, 10, 15, 18]
    assert evaluations[-1].step == started.total_steps
    best = min(evaluations[1:], key=lambda event: event.loss)
    saved = [
        event for event in events if isinstance(event, CheckpointSaved) and event.kind == "best"
    ]
    assert saved[-1].step == best.step
    row = RunStore(workspace).find(name)
    assert (row["state"], row["best_step"], row["best_loss"]) == ("finished", best.step, best.loss)
    assert row["base_loss"] == evaluations[0].loss
    assert len(RunStore(workspace).metrics(name, "train")) == len(steps)
    assert json.loads(row["versions"])["torch"].startswith("2.13.0")


def test_the_best_model_on_disk_has_the_best_validation_loss(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    """A learning rate so high that the last evaluation is not the best."""
    name, _ = run(
        workspace, small_file, settings(tiny_models["llama"], epochs=8, learning_rate=0.05)
    )
    row = RunStore(workspace).find(name)
    facts = json.loads((workspace.model_folder(name) / "fuata.json").read_text())
    assert (facts["step"], facts["validation_loss"]) == (row["best_step"], row["best_loss"])


def test_early_stopping_stops_after_evaluations_without_gain(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    _, events = run(
        workspace,
        small_file,
        settings(tiny_models["llama"], epochs=40, learning_rate=0.05, patience=2),
    )
    finished = events[-1]
    assert isinstance(finished, RunFinished) and finished.reason == "early_stopped"
    after = [
        event for event in events if isinstance(event, EvalDone) and event.step > finished.best_step
    ]
    assert len(after) == 2


@pytest.mark.parametrize(
    ("validation_share", "sentence"),
    [(0.05, "its weights are damaged"), (0.0, "lower the learning rate")],
)
def test_a_loss_that_is_no_number_ends_in_one_sentence(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    tmp_path: Path,
    validation_share: float,
    sentence: str,
) -> None:
    model = load_model(find_model(str(tiny_models["llama"]), lambda _: None))
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(1e38)
    shutil.copytree(tiny_models["llama"], tmp_path / "damaged")
    model.save_pretrained(tmp_path / "damaged")
    name, events = run(
        workspace, small_file, settings(tmp_path / "damaged", validation_share=validation_share)
    )
    assert isinstance(events[-1], RunFailed) and sentence in events[-1].message
    row = RunStore(workspace).find(name)
    assert (row["state"], row["message"]) == ("failed", events[-1].message)


def test_a_golden_curve_stays_what_it_was(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    _, events = run(
        workspace, small_file, settings(tiny_models["llama"], epochs=1, evaluations_per_epoch=1)
    )
    losses = [event.loss for event in events if isinstance(event, EvalDone)]
    assert losses[0] == pytest.approx(math.log(8192), rel=0.01)
    assert losses[1] < 0.95 * losses[0]
    steps = [round(event.loss, 4) for event in events if isinstance(event, StepDone)]
    assert steps == pytest.approx(GOLDEN_LOSSES, abs=2e-3)


# Written down on 2026-11-22 with torch 2.13.0 on a CPU, with the tokenizer of the bundled model; a
# change of the engine must not move them.
GOLDEN_LOSSES = [9.0692, 8.8706, 8.7555, 8.6382, 8.4944, 8.3968, 8.3654, 8.2983, 8.228]


def test_rows_over_the_context_are_cut_and_rows_without_answer_left_are_dropped(
    workspace: Workspace, tmp_path: Path, tiny_models: dict[str, Path]
) -> None:
    rows = [
        {"instruction": f"Row {n}", "output": "word " * length}
        for n, length in enumerate([3] * 20 + [300])
    ]
    rows.append({"instruction": "long " * 400, "output": "never seen"})
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    plan = plan_run(
        load_dataset(path),
        settings(tiny_models["llama"], test_share=0.0, validation_share=0.0),
        workspace,
    )
    assert (plan.cut_rows, plan.dropped_rows, plan.max_tokens) == ((21,), (22,), 256)
    assert len(plan.train) == 21


def test_a_run_that_would_learn_nothing_is_refused_before_it_is_written_down(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    with pytest.raises(SettingsError, match="nothing would be learnt"):
        add_run(workspace, load_dataset(small_file), settings(tiny_models["llama"], max_tokens=5))
    assert RunStore(workspace).all() == []


def test_a_model_tuned_in_chatml_tells_everyone_how_to_ask_and_stop(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    name, _ = run(workspace, small_file, settings(tiny_models["qwen3"], style="chatml", epochs=1))
    chat_model = ModelCache(workspace.find_run_model).get(name)
    assert chat_model.encoder.style.name == "chatml"
    assert chat_model.encoder.prompt_text(load_dataset(small_file).examples[1].prompt).startswith(
        "<|im_start|>user\n"
    )


def test_an_adapter_can_be_tuned_further_and_a_run_can_be_a_base(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    first, _ = run(workspace, small_file, settings(tiny_models["llama"], method="lora", epochs=1))
    further = settings(Path(first), method="lora", epochs=1)
    assert "trained further as it is" in ready_markup(
        plan_run(load_dataset(small_file), further, workspace), "command", None
    )
    second, events = run(workspace, small_file, further)
    evaluations = [event.loss for event in events if isinstance(event, EvalDone)]
    assert evaluations[0] == pytest.approx(RunStore(workspace).find(first)["best_loss"], rel=1e-5)
    assert (workspace.model_folder(second) / "adapter_model.safetensors").is_file()
    assert list(
        ModelCache(workspace.find_run_model)
        .get(second)
        .stream(load_dataset(small_file).examples[0].prompt, Sampling(max_new_tokens=3))
    )


@pytest.mark.parametrize("name", ["pocket", "expected"])
def test_a_run_cannot_take_a_name_that_stands_for_something_else(
    workspace: Workspace, small_file: Path, name: str
) -> None:
    with pytest.raises(WorkspaceError, match="stands for something else"):
        add_run(workspace, load_dataset(small_file), TrainingSettings(), name)


def test_a_bug_inside_a_run_is_raised_and_its_run_stays_failed(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def buggy(*_values: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("core.training.kernels.batch_loss.BatchLoss.backward", buggy)
    name = add_run(workspace, load_dataset(small_file), settings(tiny_models["llama"], epochs=1))
    with pytest.raises(KeyError, match="a bug"):
        execute(workspace, name, lambda: False, [])
    row = RunStore(workspace).find(name)
    assert row["state"] == "failed"
    assert "A fault in Fuata" in row["message"]


def test_a_run_whose_sink_breaks_is_interrupted_and_resumes(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    name = add_run(workspace, load_dataset(small_file), settings(tiny_models["llama"], epochs=1))

    def break_down(event: Event) -> None:
        if isinstance(event, StepDone):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        execute(workspace, name, lambda: False, [break_down])
    assert RunStore(workspace).find(name)["state"] == "interrupted"
    check_resumable(workspace, name)
    execute(workspace, name, lambda: False, [])
    assert RunStore(workspace).find(name)["state"] == "finished"


def test_a_model_tuned_with_a_persons_own_template_needs_the_file_no_more(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    template = tmp_path / "mine.jinja"
    template.write_text(
        "{% for m in messages %}[{{ m.content }}]{% if m.role == 'assistant' %}{{ eos_token }}{% "
        "endif %}{% endfor %}"
    )
    name, _ = run(
        workspace, small_file, settings(tiny_models["llama"], style=str(template), epochs=1)
    )
    template.unlink()
    assert (
        ModelCache(workspace.find_run_model)
        .get(name)
        .encoder.prompt_text(load_dataset(small_file).examples[1].prompt)
        .startswith("[")
    )


def test_a_run_stopped_before_any_evaluation_can_be_asked_and_still_resumes_exactly(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    chosen = settings(tiny_models["llama"], epochs=1, evaluations_per_epoch=1)
    whole, _ = run(workspace, small_file, chosen)
    name, _ = run(
        workspace,
        small_file,
        chosen,
        stop=lambda events: any(isinstance(event, StepDone) for event in events),
    )
    assert workspace.model_folder(name).is_dir()
    execute(workspace, name, lambda: False, [])
    assert same(weights(workspace, whole), weights(workspace, name))


def test_a_long_prompt_takes_nothing_from_the_answers_beside_it(
    tiny_models: dict[str, Path],
) -> None:
    from core.datasets.conversation import Turn

    chat_model = ModelCache(lambda _: None).get(str(tiny_models["llama"]), "alpaca")
    prompts = [[Turn("user", "word " * 170)], [Turn("user", "short")]]
    sampling = Sampling(max_new_tokens=60)
    together = list(chat_model.respond_all(prompts, sampling, lambda: False))
    alone = [
        next(iter(chat_model.respond_all([prompt], sampling, lambda: False))) for prompt in prompts
    ]
    assert [(response.tokens, response.text) for response in together] == [
        (response.tokens, response.text) for response in alone
    ]
    assert together[0].tokens < together[1].tokens


def test_an_adapter_whose_base_is_gone_says_so(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_models["llama"], base)
    name, _ = run(workspace, small_file, settings(base, method="lora", epochs=1))
    shutil.rmtree(base)
    with pytest.raises(ModelError, match="stands on .* which is gone"):
        find_model(name, workspace.find_run_model)


def test_two_hands_cannot_work_on_one_run(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    name = add_run(workspace, load_dataset(small_file), settings(tiny_models["llama"], epochs=1))
    seen: list[bool] = []

    def intrude(event: Event) -> None:
        if isinstance(event, RunStarted):
            seen.append(is_alive(workspace, name))
            with pytest.raises(WorkspaceError, match="going on already"):
                execute(workspace, name, lambda: False, [])

    execute(workspace, name, lambda: False, [intrude])
    assert seen == [True] and not is_alive(workspace, name)


def test_a_fault_inside_a_run_is_told_and_stays_a_fault(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    """Out of memory is a person's matter; anything else is a bug and looks like one."""
    folder = tiny_models["llama"].parent / "breaking"
    shutil.copytree(tiny_models["llama"], folder)
    name = add_run(workspace, load_dataset(small_file), settings(folder))
    (folder / "model.safetensors").write_bytes(b"nonsense")
    events: list[Event] = []
    execute(workspace, name, lambda: False, [events.append])
    assert isinstance(events[-1], RunFailed)
    assert "model.safetensors is damaged: copy it again" in events[-1].message
    shutil.rmtree(folder)


def test_generation_in_company_and_alone_gives_the_same_answers(
    tiny_models: dict[str, Path], small_file: Path
) -> None:
    model_cache = ModelCache(lambda _: None)
    prompts = [example.prompt for example in load_dataset(small_file).examples[:6]]
    for layout in LAYOUTS:
        chat_model = model_cache.get(str(tiny_models[layout]), "alpaca")
        sampling = Sampling(max_new_tokens=12)
        together = [
            response.text for response in chat_model.respond_all(prompts, sampling, lambda: False)
        ]
        alone = [
            next(iter(chat_model.respond_all([prompt], sampling, lambda: False))).text
            for prompt in prompts
        ]
        streamed = [list(chat_model.stream(prompt, sampling))[-1] for prompt in prompts]
        assert together == alone == streamed  # with half a character at its end, too


def test_the_cache_gives_the_tokens_of_asking_anew_each_time(tiny_models: dict[str, Path]) -> None:
    from core.generation.decode import Limits, stream_ids

    for layout in LAYOUTS:
        model = load_model(find_model(str(tiny_models[layout]), lambda _: None))
        ids = [5, 6, 7, 8]
        for token in stream_ids(model, ids[:4], Sampling(max_new_tokens=10), Limits([], 256)):
            with torch.no_grad():
                assert token == int(model(torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(token)


def test_an_answer_never_leaves_the_context(tiny_models: dict[str, Path]) -> None:
    from core.datasets.conversation import Turn

    chat_model = ModelCache(lambda _: None).get(str(tiny_models["gpt2"]), "alpaca")
    long = [Turn("user", "word " * 300)]
    assert (
        next(iter(chat_model.respond_all([long], Sampling(), lambda: False))).finish_reason
        == "prompt_too_long"
    )
    with pytest.raises(ModelError, match="takes 256"):
        list(chat_model.stream(long, Sampling()))
    almost = [Turn("user", "word " * 150)]
    asked = len(chat_model.encoder.encode_prompt(almost))
    response = next(
        iter(chat_model.respond_all([almost], Sampling(max_new_tokens=500), lambda: False))
    )
    assert response.tokens <= 256 - asked and response.finish_reason in {"length", "end"}


def test_wrong_models_get_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text('{"model_type": "llama"}')
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04")
    cases = {
        str(tmp_path / "empty"): "is no model: it has no config.json",
        str(pickled): "holds a pickle checkpoint (pytorch_model.bin)",
        str(tmp_path / "nowhere" / "at" / "all"): "There is no model",
        "somebody/nothing-like-this": "could not be fetched",
        str(pickled / "config.json"): "is a file, not a model",
    }
    for name, sentence in cases.items():
        with pytest.raises(UserError) as raised:
            find_model(name, lambda _: None)
        assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("layout", "block", "norm"),
    [("gpt2", "transformer.h.1.", "transformer.ln_f"), ("llama", "model.layers.1.", "model.norm")],
)
def test_training_the_last_block_leaves_the_rest_as_it_was(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    layout: str,
    block: str,
    norm: str,
) -> None:
    name, events = run(workspace, small_file, settings(tiny_models[layout], last_blocks=1))
    before, after = load_file(tiny_models[layout] / "model.safetensors"), weights(workspace, name)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed and all(key.startswith((block, norm)) for key in changed)
    losses = [event.loss for event in events if isinstance(event, EvalDone)]
    assert losses[-1] < losses[0]
    with pytest.raises(SettingsError, match="at most 2"):
        run(workspace, small_file, settings(tiny_models[layout], last_blocks=3))
    with pytest.raises(SettingsError, match="goes with full tuning"):
        change_settings(TrainingSettings(), {"method": "lora", "last_blocks": 1})


@pytest.mark.parametrize("kind", ["rslora", "dora"])
def test_other_adapters_of_the_family_train_resume_and_merge_into_a_plain_model(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    chosen = settings(
        tiny_models["qwen3"], method="lora", lora_kind=kind, lora_targets="q_proj, v_proj", epochs=1
    )
    whole, _ = run(workspace, small_file, chosen)
    broken, _ = run(
        workspace,
        small_file,
        chosen,
        stop=lambda events: sum(isinstance(event, StepDone) for event in events) >= 4,
    )
    execute(workspace, broken, lambda: False, [])
    assert same(weights(workspace, whole), weights(workspace, broken))
    config = json.loads((workspace.model_folder(whole) / "adapter_config.json").read_text())
    assert (config["use_rslora"], config["use_dora"], sorted(config["target_modules"])) == (
        kind == "rslora", kind == "dora", ["q_proj", "v_proj"],
    )  # fmt: skip
    options = [
        "merge",
        "--model",
        whole,
        "--out",
        str(tmp_path / "merged"),
        "--workspace",
        str(workspace.folder),
    ]
    assert main(options) == 0
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()(ids).logits
        apart = (
            AutoPeftModelForCausalLM.from_pretrained(workspace.model_folder(whole))
            .eval()(ids)
            .logits
        )
    torch.testing.assert_close(merged, apart, rtol=1e-4, atol=1e-5)
    assert main(options) == 2  # the folder is there now
    assert (
        main(["merge", "--model", str(tmp_path / "merged"), "--out", str(tmp_path / "again")]) == 2
    )
    assert not (tmp_path / "again").exists()


def test_adapters_on_weights_in_four_bits_train_resume_and_load_on_whole_ones(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    pytest.importorskip("bitsandbytes", reason="needs bitsandbytes")
    from peft import AutoPeftModelForCausalLM

    chosen = settings(tiny_models["qwen3"], method="qlora", epochs=3)
    whole, events = run(workspace, small_file, chosen)
    broken, _ = run(
        workspace,
        small_file,
        chosen,
        stop=lambda events: sum(isinstance(event, StepDone) for event in events) >= 4,
    )
    execute(workspace, broken, lambda: False, [])
    assert same(weights(workspace, whole), weights(workspace, broken))
    started, exact = events[0], run(workspace, small_file, replace(chosen, method="lora"))[1]
    assert isinstance(started, RunStarted) and started.notice == ""
    assert replace(started, run="") == replace(exact[0], run="")  # type: ignore[type-var]
    losses = [
        [event.loss for event in told if isinstance(event, EvalDone)] for told in (events, exact)
    ]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0][-1] < losses[0][0]
    AutoPeftModelForCausalLM.from_pretrained(workspace.model_folder(whole))


def test_without_bitsandbytes_four_bits_are_refused_in_a_sentence(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.training.planning.plan.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="python -m pip install bitsandbytes"):
        add_run(workspace, load_dataset(small_file), settings(tiny_models["qwen3"], method="qlora"))


def test_adapters_for_layers_that_are_not_there_end_in_a_sentence(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    _, events = run(
        workspace, small_file, settings(tiny_models["llama"], method="lora", lora_targets="c_attn")
    )
    assert isinstance(events[-1], RunFailed)
    assert "c_attn fit no layer; there are down_proj" in events[-1].message


def test_models_of_every_evaluation_are_kept_asked_and_tuned_further(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    name, events = run(workspace, small_file, settings(tiny_models["llama"], keep="every"))
    evaluated = [event for event in events if isinstance(event, EvalDone) and event.step > 0]
    assert workspace.kept_steps(name) == [event.step for event in evaluated]
    first = f"{name}@{evaluated[0].step}"
    facts = json.loads((workspace.kept_folder(name, evaluated[0].step) / "fuata.json").read_text())
    assert (facts["step"], facts["validation_loss"]) == (evaluated[0].step, evaluated[0].loss)
    assert ModelCache(workspace.find_run_model).get(first).encoder.style.name == "alpaca"
    _, further = run(workspace, small_file, settings(Path(first), epochs=1))
    assert isinstance(further[1], EvalDone) and further[1].loss == pytest.approx(
        evaluated[0].loss, rel=1e-5
    )
    with pytest.raises(WorkspaceError, match=f"kept no model of step '7'; it kept {first}"):
        find_model(f"{name}@7", workspace.find_run_model)
    last, _ = run(workspace, small_file, settings(tiny_models["llama"], keep="last"))
    assert workspace.kept_steps(last) == [evaluated[-1].step]


def test_memory_that_does_not_suffice_is_known_before_the_first_step(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backward, lengths = BatchLoss.backward, []

    def hungry(self: BatchLoss, batch: Batch, divisor: float) -> torch.Tensor:
        lengths.append(batch.inputs.shape[1])
        torch.empty(2**60)  # what torch says of memory that is not there, said by torch
        return backward(self, batch, divisor)

    monkeypatch.setattr(BatchLoss, "backward", hungry)
    name, events = run(workspace, small_file, settings(tiny_models["llama"]))
    assert [type(event) for event in events] == [RunStarted, RunFailed]
    row = RunStore(workspace).find(name)
    assert row["state"] == "failed" and row["message"].startswith(
        "Out of memory: lower the batch size"
    )
    encoder = load_encoder(tiny_models["llama"], "alpaca")
    assert lengths == [
        max(
            len(encoder.encode_example(example).ids)
            for example in load_dataset(small_file).examples
        )
        - 1
    ]


def test_a_full_disk_ends_in_a_sentence_and_leaves_nothing_half_written(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    """Files may grow to a megabyte here, and a model's do not fit."""
    import resource

    line = [
        sys.executable,
        "-m",
        "core",
        "train",
        str(small_file),
        "--name",
        "full",
        "--method",
        "full",
    ]
    line += ["--model", str(tiny_models["llama"])]
    done = subprocess.run(
        [*line, "--workspace", str(workspace.folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20)),
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    row = RunStore(workspace).find("full")
    assert row["state"] == "failed" and "make room and resume it" in row["message"]
    assert not [path for path in workspace.run_folder("full").iterdir() if path.name != ".lock"]
    check_resumable(workspace, "full")


@pytest.mark.parametrize(
    ("file", "content"), [("state.safetensors", b"damaged"), ("progress.json", b"{")]
)
def test_a_damaged_checkpoint_ends_in_a_sentence(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], file: str, content: bytes
) -> None:
    name, _ = run(
        workspace,
        small_file,
        settings(tiny_models["llama"]),
        stop=lambda events: any(isinstance(e, StepDone) for e in events),
    )
    (workspace.run_folder(name) / "checkpoint" / file).write_bytes(content)
    events: list[Event] = []
    execute(workspace, name, lambda: False, [events.append])
    assert [type(event) for event in events] == [RunFailed]
    assert (
        "is damaged or of another model: start the run anew"
        in RunStore(workspace).find(name)["message"]
    )


def test_a_base_model_that_has_gone_ends_in_a_sentence(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(tiny_models["llama"], tmp_path / "base")
    chosen = settings(tmp_path / "base")
    name, _ = run(
        workspace,
        small_file,
        chosen,
        stop=lambda events: any(isinstance(event, StepDone) for event in events),
    )
    shutil.rmtree(tmp_path / "base")
    execute(workspace, name, lambda: False, [])
    row = RunStore(workspace).find(name)
    assert row["state"] == "failed" and row["message"].startswith(
        f"There is no model '{tmp_path / 'base'}'"
    )
