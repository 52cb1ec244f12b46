"""Pre-train the pocket model on its corpus: next-token prediction on unmasked text, on one or
several processes.

Matrices are trained by Muon, embeddings and norms by AdamW; the rate warms up, stays, and falls to
zero over the last part (Hu et al. 2024, "MiniCPM", arXiv 2404.06395, section 4: warm-up, stable,
decay). Checkpoints are whole or absent, and a run that was cut off goes on where its last one
stands.

B sequences of a process, T tokens, V vocabulary.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, distributed
from torch.nn import functional
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from core.storage.atomic_write import write_file, written_aside
from core.training.distributed import all_reduce_sum
from data.pocket.corpus import TokenIds
from data.pocket.muon import Muon

_VALIDATION_BLOCKS = 32
_REPORT_STEPS = 20


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that makes one pre-training what it is."""

    vocabulary: int
    end_id: int = 0
    hidden: int = 256
    layers: int = 4
    heads: int = 4
    inner: int = 704
    context: int = 512  # tokens
    blocks_per_step: int = 8  # of `context` tokens, over all processes
    tokens: int = 18_000_000
    matrix_rate: float = 0.02
    other_rate: float = 5e-3
    warmup_share: float = 0.02
    decay_share: float = 0.6
    seed: int = 1
    checkpoint_s: float = 240

    @property
    def steps(self) -> int:
        """How many steps the tokens make."""
        return self.tokens // (self.blocks_per_step * self.context)


def build_model(recipe: Recipe) -> PreTrainedModel:
    """Return a new Qwen3-like model: RMSNorm, rotary positions, norms on queries and keys, gated
    MLP, tied head.
    """
    torch.manual_seed(recipe.seed)
    config = Qwen3Config(
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        head_dim=recipe.hidden // recipe.heads,
        intermediate_size=recipe.inner,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=recipe.end_id,
        pad_token_id=recipe.end_id,
    )
    model = Qwen3ForCausalLM(config)
    for name, matrix in _matrices(model):
        into_stream = name.endswith(("o_proj.weight", "down_proj.weight"))
        torch.nn.init.normal_(
            matrix, std=recipe.hidden**-0.5 * ((2 * recipe.layers) ** -0.5 if into_stream else 1)
        )
    return model


def rate_share(step: int, recipe: Recipe) -> float:
    """Return the share of the full rate at a step counted from 0: warm-up, stable, linear decay to
    zero.
    """
    rising = (step + 1) / max(math.ceil(recipe.warmup_share * recipe.steps), 1)
    falling = (recipe.steps - step) / max(recipe.decay_share * recipe.steps, 1)
    return min(1.0, rising, falling)


def pretrain(
    rank: int, processes: int, recipe: Recipe, corpus: Path, folder: Path, start: Path | None = None
) -> None:
    """Train in one of ``processes`` processes; process 0 writes ``folder``/model, checkpoint.pt and
    curve.jsonl.

    Several processes meet by gloo through a file in the folder; each takes its share of every
    step's blocks. ``start`` is a model's folder whose weights are trained on instead of new ones.
    Raises ValueError when the blocks cannot be shared out evenly, the corpus is too short or
    ``start`` holds a model of another shape.
    """
    if recipe.blocks_per_step % processes:
        raise ValueError(
            f"{recipe.blocks_per_step} blocks a step cannot be shared by {processes} processes"
        )
    torch.set_num_threads(1 if processes > 1 else max((os.cpu_count() or 2) - 1, 1))
    if processes > 1:
        distributed.init_process_group(
            "gloo",
            init_method=f"file://{folder.resolve()}/meeting",
            rank=rank,
            world_size=processes,
        )
    model = build_model(recipe)
    if start:
        _read_weights(model, start)
    trainer = _Trainer(model, recipe, np.load(corpus, mmap_mode="r"), folder)
    trainer.train(rank, processes)
    if rank == 0:
        with written_aside(folder / "model") as aside:
            model.to(torch.bfloat16).save_pretrained(aside)
            for tokenizer_file in folder.glob("tokenizer*.json"):
                shutil.copy(tokenizer_file, aside)
    if processes > 1:
        distributed.destroy_process_group()


def _read_weights(model: PreTrainedModel, start: Path) -> None:
    weights = load_file(start / "model.safetensors")
    expected = {name: weight.shape for name, weight in model.named_parameters()}
    if {name: weight.shape for name, weight in weights.items()} != expected:
        raise ValueError(
            f"{start} holds a model of another shape than the recipe's; start from one that it made"
        )
    model.load_state_dict(weights, strict=False)  # the tied head has no entry of its own


def _matrices(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    return (
        (name, weight)
        for name, weight in model.named_parameters()
        if weight.ndim == 2 and "embed" not in name
    )


class _Trainer:
    """One process's share of a pre-training."""

    def __init__(self, model: PreTrainedModel, recipe: Recipe, ids: TokenIds, folder: Path) -> None:
        self._model, self._recipe, self._folder = model, recipe, folder
        matrices = [matrix for _, matrix in _matrices(model)]
        known = {id(matrix) for matrix in matrices}
        others = [weight for weight in model.parameters() if id(weight) not in known]
        self._optimisers = (
            Muon(matrices, lr=recipe.matrix_rate),
            torch.optim.AdamW(
                others, lr=recipe.other_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
            ),
        )
        blocks = (len(ids) - 1) // recipe.context
        self._ids, self._blocks = ids, blocks - _VALIDATION_BLOCKS
        if self._blocks < recipe.steps * recipe.blocks_per_step:
            raise ValueError(
                f"the corpus holds {len(ids)} tokens and the recipe reads {recipe.tokens}; write "
                "a longer one"
            )
        self._step = 0

    def train(self, rank: int, processes: int) -> None:
        self._resume()
        if rank == 0:
            self._forget_later_reports()
        started, saved, first = time.monotonic(), time.monotonic(), self._step
        while self._step < self._recipe.steps:
            loss = self._one_step(rank, processes)
            self._step += 1
            if rank == 0 and (self._step % _REPORT_STEPS == 0 or self._step == self._recipe.steps):
                per_step = self._recipe.blocks_per_step * self._recipe.context
                self._report(loss, per_step * (self._step - first) / (time.monotonic() - started))
            if rank == 0 and time.monotonic() - saved > self._recipe.checkpoint_s:
                self._save()
                saved = time.monotonic()
        if rank == 0:
            self._save()

    def _one_step(self, rank: int, processes: int) -> float:
        share = rate_share(self._step, self._recipe)
        for optimiser, rate in zip(
            self._optimisers, (self._recipe.matrix_rate, self._recipe.other_rate), strict=True
        ):
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = rate * share
        first = self._step * self._recipe.blocks_per_step
        loss = self._loss(range(first + rank, first + self._recipe.blocks_per_step, processes))
        loss.backward()  # type: ignore[no-untyped-call]
        if processes > 1:
            self._average_gradients(processes)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        for optimiser in self._optimisers:
            optimiser.step()
        return loss.item()

    def _loss(self, blocks: range) -> Tensor:
        """Return the mean cross-entropy of the next tokens of some blocks."""
        length = self._recipe.context
        rows = np.stack(
            [self._ids[block * length : (block + 1) * length + 1] for block in blocks]
        ).astype(np.int64)
        ids = torch.from_numpy(rows)  # (B, T + 1)
        logits = self._model(input_ids=ids[:, :-1], use_cache=False).logits  # (B, T, V)
        return functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())

    def _average_gradients(self, processes: int) -> None:
        gradients = [weight.grad for weight in self._model.parameters() if weight.grad is not None]
        all_reduce_sum(gradients)
        for gradient in gradients:
            gradient.div_(processes)

    @torch.no_grad()
    def _validate(self) -> float:
        """Return the loss on further text of the same kinds; its background may have been read
        before.
        """
        last = range(self._blocks, self._blocks + _VALIDATION_BLOCKS)
        return sum(
            self._loss(last[at : at + 4]).item() for at in range(0, _VALIDATION_BLOCKS, 4)
        ) / (_VALIDATION_BLOCKS / 4)

    def _report(self, loss: float, tokens_per_s: float) -> None:
        fact = {
            "step": self._step,
            "steps": self._recipe.steps,
            "loss": round(loss, 4),
            "tokens_per_s": round(tokens_per_s),
        }
        if self._step % (_REPORT_STEPS * 10) == 0 or self._step == self._recipe.steps:
            fact["validation_loss"] = round(self._validate(), 4)
        with (self._folder / "curve.jsonl").open("a") as file:
            file.write(json.dumps(fact) + "\n")
        print(fact, flush=True)

    def _save(self) -> None:
        state = {
            "step": self._step,
            "model": self._model.state_dict(),
            "optimisers": [o.state_dict() for o in self._optimisers],
        }
        aside = self._folder / "checkpoint.aside"
        torch.save(state, aside)
        aside.replace(self._folder / "checkpoint.pt")

    def _forget_later_reports(self) -> None:
        """Cut off what the curve tells of steps that will be taken again."""
        path = self._folder / "curve.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        kept = [line for line in lines if json.loads(line)["step"] <= self._step]
        write_file(path, "".join(f"{line}\n" for line in kept).encode())

    def _resume(self) -> None:
        path = self._folder / "checkpoint.pt"
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True)
        self._step = state["step"]
        self._model.load_state_dict(state["model"])
        for optimiser, saved in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
