"""The loss of a batch and its gradients, against what transformers itself computes."""

import math
import sys
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from core.datasets.dataset import load_dataset
from core.models import load as load_module
from core.models.layout import blocks_of
from core.models.load import enable_gradient_checkpointing, load_model
from core.models.lora import AdapterShape, add_lora
from core.models.resolve import find_model
from core.prompts.collate import IGNORED
from core.prompts.encoder import EncodedRow, load_encoder, make_row
from core.storage.workspace import Workspace
from core.training.events import (
    RunStarted,
    StepDone,
)
from core.training.kernels.batch import collate
from core.training.kernels.batch_loss import BatchLoss
from core.training.kernels.chunked_cross_entropy import chunked_cross_entropy
from core.training.kernels.flat_batch import _grouped, flatten
from core.training.kernels.last_layer import skip_unread_positions
from tests.tuning import LAYOUTS, gradients, load, plain_loss, run, settings, weights

pytestmark = pytest.mark.slow


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
    model = load_model(find_model(str(tiny_models["llama"]), None))
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


@contextmanager
def _untraced() -> Iterator[None]:
    """Keep coverage out: what torch follows takes it five times as long with a tracer of Python."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


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
    with _untraced():
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
    model = load_model(find_model(str(tiny_models["qwen3"]), None))
    encoder = load_encoder(tiny_models["qwen3"], "alpaca")
    rows = [encoder.encode_example(example) for example in load_dataset(small_file).examples[:6]]
    with torch.no_grad():
        loss = BatchLoss(model)
        together = loss.summed(collate(rows, 0, mask_prompt=True)).item()
        alone = sum(loss.summed(collate([row], 0, mask_prompt=True)).item() for row in rows)
    assert together == pytest.approx(alone, rel=1e-5)
