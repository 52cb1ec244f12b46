"""Pre-training of the pocket model: the schedule, Muon, several processes and going on after a cut."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.multiprocessing.spawn import spawn

from data.pocket.muon import Muon, orthogonalise
from data.pocket.pretraining import Recipe, pretrain, rate_share

TINY = Recipe(
    vocabulary=64,
    hidden=32,
    layers=2,
    heads=2,
    inner=48,
    context=16,
    blocks_per_step=4,
    tokens=16 * 4 * 12,
    checkpoint_s=0,
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Tokens of which each is followed by its successor: something a model can learn."""
    path = tmp_path / "corpus.npy"
    np.save(path, (np.arange(6000) % 50).astype(np.uint16))
    return path


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def test_the_rate_rises_stays_and_falls_to_zero() -> None:
    recipe = replace(TINY, tokens=16 * 4 * 100, warmup_share=0.1, decay_share=0.4)
    shares = [rate_share(step, recipe) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert shares[9:60] == [1.0] * 51
    assert shares[99] == pytest.approx(1 / 40)
    assert shares[60:] == sorted(shares[60:], reverse=True)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 24, 8), (2, 8, 24)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    values = torch.linalg.svdvals(
        orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    )
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_muon_finds_a_matrix() -> None:
    torch.manual_seed(0)
    wanted, matrix = torch.randn(12, 6), torch.nn.Parameter(torch.zeros(12, 6))
    optimiser = Muon([matrix], lr=0.05, weight_decay=0.0)
    for _ in range(200):
        optimiser.zero_grad()
        loss = (matrix - wanted).square().mean()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05 * wanted.square().mean().item()


@pytest.mark.slow
def test_the_model_learns_its_corpus(tmp_path: Path, corpus: Path) -> None:
    pretrain(0, 1, replace(TINY, tokens=16 * 4 * 60), corpus, tmp_path)
    facts = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert facts[-1]["validation_loss"] < 1.0 < facts[0]["loss"]
    assert (tmp_path / "model" / "config.json").is_file()
    assert {weight.dtype for weight in weights(tmp_path).values()} == {torch.bfloat16}


@pytest.mark.slow
def test_two_processes_train_the_model_of_one(tmp_path: Path, corpus: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    pretrain(0, 1, TINY, corpus, one)
    spawn(pretrain, (2, TINY, corpus, two), nprocs=2)
    for name, weight in weights(one).items():
        # bfloat16 files
        torch.testing.assert_close(weights(two)[name].float(), weight.float(), atol=2e-2, rtol=2e-2)


@pytest.mark.slow
def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    pretrain(0, 1, TINY, corpus, whole)
    step, steps = torch.optim.AdamW.step, iter(range(7))

    def break_off(*args: object, **kwargs: object) -> None:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        step(*args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", break_off)
    with pytest.raises(KeyboardInterrupt):
        pretrain(0, 1, TINY, corpus, cut)
    monkeypatch.undo()
    assert not (cut / "model").exists()
    pretrain(0, 1, TINY, corpus, cut)
    assert all(torch.equal(weight, weights(cut)[name]) for name, weight in weights(whole).items())


def test_a_corpus_that_is_too_short_is_refused(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(ValueError, match="write a longer one"):
        pretrain(0, 1, replace(TINY, tokens=10_000_000), corpus, tmp_path)


@pytest.mark.slow
def test_training_goes_on_from_a_models_weights(tmp_path: Path, corpus: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    pretrain(0, 1, TINY, corpus, first)
    unmoved = replace(TINY, seed=2, matrix_rate=0.0, other_rate=0.0)
    pretrain(0, 1, unmoved, corpus, second, first / "model")
    assert all(
        torch.equal(weight, weights(second)[name]) for name, weight in weights(first).items()
    )
    with pytest.raises(ValueError, match="another shape"):
        pretrain(0, 1, replace(unmoved, inner=32), corpus, tmp_path, first / "model")
