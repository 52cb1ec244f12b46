"""Measure how fast Fuata trains beside what people would use instead: real tokens per second and
peak memory.

Every arm is a process of its own, so that its peak memory is its own; the arms take turns, round
after round, so that a noisy machine is noisy for all; what is reported is the median of the rounds
and its ratio to the Hugging Face Trainer's. All arms are given the same epoch of rows and stopped
after so many steps of it: batches of 8, float32, no dropout, AdamW, and as many threads. The
longest row comes in the first step, which is not timed, so that every peak is that of an epoch. On
a GPU (--device cuda) all but the book's loop compute products in bfloat16, as people would, where
it has them, and peaks are of its memory. The share of a large product's speed is what others call
model FLOPs utilisation, counted of the speed that is measured here.

- book: the loop of Raschka, "Build a Large Language Model (From Scratch)", chapter 7: padded to the longest row of the batch,
  the loss over all positions of the padded batch, plain AdamW
- trainer: transformers.Trainer with its defaults, rows padded to the longest of the batch, prompts masked
- trl: TRL's SFTTrainer on the completion only, float32, without checkpointing, where TRL is installed
- peft: a plain loop over a PEFT model called with labels, for LoRA
- fuata: core.training.loop

    python benchmarks/training.py [--quick] [--json] [--models gpt2 pocket] [--methods full lora]
    [--threads N] python benchmarks/training.py --rows book-1100.json --tokenizer FOLDER   # GPT-2's
    vocab.bpe and encoder.json python benchmarks/training.py --lengths 30 60 125 250 500 1000
    # rows of one length instead python benchmarks/training.py --device cuda --models gpt2 qwen
    # a layout of half a thousand million parameters
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from core.datasets.dataset import load_dataset
from core.models.half_precision import cast_frozen_weights
from core.models.layout import blocks_of
from core.models.load import autocast, compute_dtype
from core.prompts.collate import IGNORED, plan_epoch
from core.prompts.encoder import EncodedRow, make_row
from core.training.events import StepDone
from core.training.kernels.batch import collate
from core.training.kernels.flat_batch import flatten
from core.training.kernels.last_layer import read_modules
from core.training.kernels.matmul_backend import using_backend
from core.training.kernels.memory import keep_freed_memory, peak_memory_mib
from core.training.loop.job import TrainingJob
from core.training.loop.trainer import train
from core.training.settings import TrainingSettings

_BATCH = 8
_WARM_UP = 2  # steps that are not timed
_EPOCH = 4096  # rows that are made up
# tokens of a row with Alpaca-like lengths; longer ones are cut, as Alpaca's own recipe does
_LONGEST = 512
_PREAMBLE = 23  # tokens of Alpaca's in GPT-2's vocabulary
_SHARED = Path(__file__).parents[2] / "shared" / "data"
Figures = dict[str, Any]
Rows = list[EncodedRow]
Step = tuple[float, Rows]  # seconds, what it learnt from


def main() -> None:
    """Measure what was asked for and print it."""
    chosen = _arguments()
    if chosen.arm:
        print(json.dumps(_run_arm(chosen)))
        return
    ceiling, where = _gemm_ceiling(chosen)
    if not chosen.json:
        print(f"a large matrix product: {ceiling:,.0f} GFLOP/s, {where}", flush=True)
    found: list[Figures] = []
    for model in chosen.models:
        for method in chosen.methods:
            for rows in chosen.lengths or ["book", "alpaca"]:
                found += _compare(chosen, model, method, str(rows), ceiling)
    if chosen.json:
        print(json.dumps({"gemm_gflops": ceiling, "where": where, "results": found}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", nargs="+", choices=("gpt2", "pocket", "qwen"), default=["gpt2", "pocket"]
    )
    parser.add_argument("--methods", nargs="+", choices=("full", "lora"), default=["full", "lora"])
    parser.add_argument(
        "--lengths", nargs="*", type=int, default=[], help="rows of one length, in tokens"
    )
    parser.add_argument("--rows", type=Path, default=_SHARED / "instructions" / "book-1100.json")
    parser.add_argument("--tokenizer", type=Path, default=_SHARED / "tokenizers" / "gpt2")
    parser.add_argument("--steps", type=int, default=14, help="timed steps of an arm in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="one round of few steps")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--arm", help=argparse.SUPPRESS)  # what a process of ours is to do
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no GPU here")
    if chosen.quick:
        chosen.steps, chosen.rounds = 4, 1
    return chosen


def _compare(
    chosen: argparse.Namespace, model: str, method: str, rows: str, ceiling: float
) -> list[Figures]:
    arms = [
        "book" if method == "full" else "peft",
        "trainer",
        *(["trl"] if find_spec("trl") else []),
        "fuata",
    ]
    measured: dict[str, list[Figures]] = {arm: [] for arm in arms}
    for number in range(chosen.rounds):
        for arm in arms if number % 2 == 0 else arms[::-1]:
            measured[arm].append(_in_a_process(chosen, arm, model, method, rows))
    reference = {
        key: statistics.median(found[key] for found in measured["trainer"])
        for key in ("tokens_per_s", "peak_mib")
    }
    results = []
    for arm, found in measured.items():
        middle = {key: statistics.median(one[key] for one in found) for key in found[0]}
        ratios = {"speed_ratio": middle["tokens_per_s"] / reference["tokens_per_s"]}
        ratios["memory_ratio"] = middle["peak_mib"] / reference["peak_mib"]
        results.append(
            {"model": model, "method": method, "rows": rows, "arm": arm, **middle, **ratios}
        )
        if not chosen.json:
            print(
                f"{model:6} {method:4} {rows:>6} {arm:8} {middle['tokens_per_s']:7,.0f} tokens/s "
                f"×{ratios['speed_ratio']:.2f}  "
                f"{middle['peak_mib']:6,.0f} MiB ×{ratios['memory_ratio']:.2f}  "
                f"{middle['gflops']:.0f} GFLOP/s useful, "
                f"{middle['row_gflops']:.0f} by row, {middle['row_gflops'] / ceiling:.0%} of a "
                "large product's",
                flush=True,
            )
    return results


def _in_a_process(
    chosen: argparse.Namespace, arm: str, model: str, method: str, rows: str
) -> Figures:
    words = [
        sys.executable,
        __file__,
        "--arm",
        arm,
        "--models",
        model,
        "--methods",
        method,
        "--steps",
        str(chosen.steps),
    ]
    words += ["--device", chosen.device, "--threads", str(chosen.threads)]
    words += ["--rows", str(chosen.rows), "--tokenizer", str(chosen.tokenizer)]
    words += [] if rows in {"book", "alpaca"} else ["--lengths", rows]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(chosen.threads),
        "FUATA_ROWS": rows,
        "HF_HUB_OFFLINE": "1",
    }
    # else the GPU's would be an arm's peak
    environment |= {"CUDA_VISIBLE_DEVICES": ""} if chosen.device == "cpu" else {}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"The arm {arm} failed:\n{done.stderr[-2000:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def _run_arm(chosen: argparse.Namespace) -> Figures:
    torch.set_num_threads(chosen.threads)
    rows = _longest_first(_rows(chosen, os.environ["FUATA_ROWS"]))
    model = _model(chosen.models[0])
    if chosen.methods[0] == "lora":
        from core.models.lora import AdapterShape, add_lora

        model = add_lora(
            model, AdapterShape(8, 16, 0.0), seed=1, base_model=model.config.name_or_path
        )
        if chosen.arm == "fuata" and (precision := _precision(chosen.device)):
            cast_frozen_weights(model, precision)
    model = model.to(chosen.device)
    arms = {
        "book": _book_arm,
        "peft": _peft_arm,
        "trainer": _trainer_arm,
        "trl": _trl_arm,
        "fuata": _fuata_arm,
    }
    arm = arms[chosen.arm]
    timed = arm(model, rows, chosen.steps + _WARM_UP)[_WARM_UP:]
    peak = peak_memory_mib()
    seconds = sum(took for took, _ in timed)
    tokens = sum(len(row.ids) for _, part in timed for row in part)
    parts = [part for _, part in timed]
    useful, by_row = _useful_operations(model, parts), _operations_by_row(model, parts)
    return {
        "tokens_per_s": tokens / seconds,
        "peak_mib": peak,
        "gflops": useful / seconds / 1e9,
        "row_gflops": by_row / seconds / 1e9,
    }


def _rows(chosen: argparse.Namespace, kind: str) -> Rows:
    rng = random.Random(1)
    if kind == "book":
        return rng.sample(
            found := _book_rows(chosen.rows, chosen.tokenizer, chosen.models[0]), len(found)
        )
    words = _vocabulary(chosen.models[0])
    preamble = [rng.randrange(1, words) for _ in range(_PREAMBLE)]
    rows = []
    for number in range(_EPOCH):
        if kind == "alpaca":  # log-normal lengths like those of Alpaca's 52 thousand rows
            asked, answer = (
                max(5, round(rng.lognormvariate(2.9, 0.5))),
                max(3, round(rng.lognormvariate(3.7, 0.9))),
            )
        else:
            answer = max(int(kind) // 3, 1)
            asked = max(int(kind) - answer - _PREAMBLE, 1)
        ids = [*preamble, *(rng.randrange(1, words) for _ in range(asked + answer))]
        row = make_row(number, ids[: _PREAMBLE + asked], ids[_PREAMBLE + asked :])
        rows.append(row.cut(_LONGEST) if kind == "alpaca" else row)
    return rows


def _longest_first(rows: Rows) -> Rows:
    """Return the rows with the longest in front, where a trainer that knows no longest rows meets
    it in its first batch.
    """
    longest = max(range(len(rows)), key=lambda at: len(rows[at].ids))
    return [rows[longest], *rows[:longest], *rows[longest + 1 :]]


def _book_rows(file: Path, tokenizer: Path, model: str) -> Rows:
    """Return the book's rows in Alpaca style, in GPT-2's tokens or the pocket model's."""
    from core.prompts.encoder import load_encoder

    examples = load_dataset(file).examples
    encoder = load_encoder(Path(__file__).parents[1] / "data" / "models" / "pocket", "alpaca")
    if model == "pocket":
        return [encoder.encode_example(example) for example in examples]
    from tokenizers import ByteLevelBPETokenizer

    gpt2 = ByteLevelBPETokenizer(str(tokenizer / "encoder.json"), str(tokenizer / "vocab.bpe"))
    rows = []
    for example in examples:
        prompt = encoder.prompt_text(example.prompt)
        asked, answer = gpt2.encode(prompt).ids, [*gpt2.encode(example.answer).ids, 50256]
        rows.append(make_row(example.row, asked, answer))
    return rows


def _vocabulary(model: str) -> int:
    return 8192 if model == "pocket" else 50257


def _model(name: str) -> Any:
    """Return random weights in GPT-2's 124 M layout or that of Qwen2.5's 0.5 B, or the bundled
    model.
    """
    from transformers import AutoModelForCausalLM, GPT2Config, Qwen2Config

    torch.manual_seed(1)
    if name == "gpt2":
        return AutoModelForCausalLM.from_config(
            GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
        ).train()
    if name == "qwen":
        layout = Qwen2Config(
            vocab_size=151_936,
            hidden_size=896,
            intermediate_size=4864,
            num_hidden_layers=24,
            num_attention_heads=14,
            num_key_value_heads=2,
            max_position_embeddings=32_768,
            tie_word_embeddings=True,
        )
        return AutoModelForCausalLM.from_config(layout).train()
    return AutoModelForCausalLM.from_pretrained(
        Path(__file__).parents[1] / "data" / "models" / "pocket", dtype=torch.float32
    ).train()


def _precision(device: str) -> torch.dtype | None:
    """Return what products are made in, but for the book's."""
    return None if device == "cpu" else compute_dtype("auto")


def _book_arm(model: Any, rows: Rows, steps: int) -> list[Step]:
    """Compute the loss over all positions; padding after the first end token is masked by -100 but
    computed all the same.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=5e-5, weight_decay=0.1, fused=False, foreach=False
    )
    clock = _Clock(steps)
    for part in islice(_batches(rows), steps):
        batch = collate(part, 0, mask_prompt=False)
        inputs, targets = batch.inputs.to(model.device), batch.targets.to(model.device)
        optimizer.zero_grad()
        logits = model(input_ids=inputs).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED
        )
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        clock.step(part)
    return clock.steps


def _peft_arm(model: Any, rows: Rows, steps: int) -> list[Step]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-5)
    clock = _Clock(steps)
    for part in islice(_batches(rows), steps):
        inputs = {name: tensor.to(model.device) for name, tensor in _with_labels(part).items()}
        optimizer.zero_grad()
        with autocast(_precision(model.device.type), model.device):
            loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        clock.step(part)
    return clock.steps


def _trainer_arm(model: Any, rows: Rows, steps: int) -> list[Step]:
    from transformers import Trainer, TrainingArguments

    with tempfile.TemporaryDirectory() as folder:
        options = TrainingArguments(folder, **_options(model, steps), remove_unused_columns=False)
        return _train_in_order(
            Trainer,
            rows,
            steps,
            model=model,
            args=options,
            train_dataset=rows,
            data_collator=_with_labels,
        )


def _trl_arm(model: Any, rows: Rows, steps: int) -> list[Step]:
    """Give SFTTrainer tokens and which of them belong to the completion; its collator pads and
    masks.
    """
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    # SFTTrainer wants a tokenizer; only its padding is used
    pocket = Path(__file__).parents[1] / "data" / "models" / "pocket"
    tokenizer = AutoTokenizer.from_pretrained(pocket)
    tokenizer.pad_token = tokenizer.eos_token
    data = Dataset.from_list(
        [{"input_ids": list(row.ids), "completion_mask": list(row.trained)} for row in rows]
    )
    with tempfile.TemporaryDirectory() as folder:
        plain = {"gradient_checkpointing": False, "completion_only_loss": True, "max_length": None}
        options = SFTConfig(folder, **_options(model, steps), **plain)
        return _train_in_order(
            SFTTrainer,
            rows,
            steps,
            model=model,
            args=options,
            train_dataset=data,
            processing_class=tokenizer,
        )


def _options(model: Any, steps: int) -> dict[str, Any]:
    """Return what transformers' trainers are all told."""
    kind = model.device.type
    told = {
        "per_device_train_batch_size": _BATCH,
        "max_steps": steps,
        "learning_rate": 5e-5,
        "use_cpu": kind == "cpu",
    }
    told["bf16"] = _precision(kind) is not None
    return {
        **told,
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
    }


def _train_in_order(kind: Any, rows: Rows, steps: int, **named: Any) -> list[Step]:
    """Let one of transformers' trainers take the rows as they come, so that it is known which ones
    a step learnt from.
    """
    from transformers import TrainerCallback

    clock, parts = _Clock(steps), _batches(rows)

    class Listener(TrainerCallback):
        def on_step_end(self, *_values: Any, **_named: Any) -> None:
            clock.step(next(parts))

    class InOrder(kind):  # type: ignore[misc]
        def _get_train_sampler(self, *_values: Any) -> Any:
            return torch.utils.data.SequentialSampler(rows)

    InOrder(**named, callbacks=[Listener()]).train()
    return clock.steps


def _fuata_arm(model: Any, rows: Rows, steps: int) -> list[Step]:
    settings = TrainingSettings(
        epochs=1,
        batch_size=_BATCH,
        learning_rate=5e-5,
        checkpoint_every_s=86_400,
        watched_prompts=0,
    )
    clock = _Clock(steps)
    keep_freed_memory()  # as `core train` does
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob(
            run="speed",
            model=model,
            settings=settings,
            train=rows,
            validation=(),
            watched=(),
            pad_id=0,
            checkpoint=Path(folder) / "checkpoint",
            best=Path(folder) / "model",
            kept_at=Path,
            save=lambda *_: None,
            answer=lambda *_: [],
        )
        plan = plan_epoch([len(row.ids) for row in rows], _BATCH, settings.seed, 0)
        done = (event for event in train(job) if isinstance(event, StepDone))
        # a run is left in the middle of its epoch
        for indices, _ in zip(plan[:steps], done, strict=False):
            clock.step([rows[index] for index in indices])
    return clock.steps


class _Clock:
    """Notes how long each step took, from the one before it.

    A GPU is waited for where the timed steps begin and end, and nowhere between, so that only their
    sum is right.
    """

    def __init__(self, steps: int) -> None:
        self.steps: list[Step] = []
        self._waits = {_WARM_UP - 1, steps - 1}
        self._last = time.perf_counter()

    def step(self, rows: Rows) -> None:
        if len(self.steps) in self._waits and torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.steps.append((now - self._last, rows))
        self._last = now


def _batches(rows: Rows) -> Iterator[Rows]:
    return (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))


def _with_labels(part: Rows) -> dict[str, torch.Tensor]:
    length = max(len(row.ids) for row in part)
    ids, labels = (
        torch.zeros(len(part), length, dtype=torch.int64),
        torch.full((len(part), length), IGNORED),
    )
    mask = torch.zeros(len(part), length, dtype=torch.int64)
    for at, row in enumerate(part):
        real = torch.tensor(row.ids.tolist())
        ids[at, : len(real)], mask[at, : len(real)] = real, 1
        labels[at, : len(real)] = torch.where(torch.tensor(list(row.trained)) > 0, real, IGNORED)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _useful_operations(model: Any, batches: Sequence[Rows]) -> float:
    """Return the multiplications and additions that training on batches cannot do without,
    attention's left out.

    Two a weight and token forward and four backward, two of them only where the weight is trained;
    the output layer only where something is learnt, and what only it reads of the last one; a
    beginning that a batch's rows have in common once.
    """
    head, body = _weights(model)
    only_read = {
        id(p) for module in read_modules(blocks_of(model)[-1]) for p in module.parameters()
    }
    everywhere = _per_token(p for p in body if id(p) not in only_read)
    where_read = _per_token(p for p in body if id(p) in only_read)
    total = 0.0
    for part in batches:
        flat = flatten(
            collate(part, 0, mask_prompt=True), torch.device("cpu"), shares=True, layout="grouped"
        )
        total += (
            everywhere * flat.ids.numel()
            + where_read * flat.unique_positions.numel()
            + _per_token([head]) * flat.loss_positions.numel()
        )
    return total


def _operations_by_row(model: Any, batches: Sequence[Rows]) -> float:
    """Return the same with every token of every row counted, in all layers: what a trainer computes
    that only leaves padding out.

    The output layer is counted where something is learnt. So were the figures counted from which
    the wished share of a matrix product's speed comes.
    """
    head, body = _weights(model)
    rows = [row for part in batches for row in part]
    return _per_token(body) * sum(len(row.ids) - 1 for row in rows) + _per_token([head]) * sum(
        sum(row.trained) for row in rows
    )


def _weights(model: Any) -> tuple[torch.nn.Parameter, list[torch.nn.Parameter]]:
    """Return the output layer's matrix and the other matrices that are multiplied by."""
    head = model.get_output_embeddings().weight
    named = [(name, p) for name, p in model.named_parameters() if p.ndim == 2 and p is not head]
    return head, [
        p for name, p in named if not any(word in name for word in ("wte", "wpe", "embed"))
    ]


def _per_token(weights: Iterable[torch.nn.Parameter]) -> float:
    return float(sum(weight.numel() * (6 if weight.requires_grad else 4) for weight in weights))


def _gemm_ceiling(chosen: argparse.Namespace) -> tuple[float, str]:
    """Return the GFLOP/s of a large matrix product, the best of several by whichever library makes
    it sooner, and where.
    """
    torch.set_num_threads(chosen.threads)
    size, precision = (
        (1536 if chosen.device == "cpu" else 8192),
        _precision(chosen.device) or torch.float32,
    )
    one, other = (torch.randn(size, size, device=chosen.device, dtype=precision) for _ in range(2))
    best = math.inf
    with using_backend("default"):
        for _ in range(8):
            started = time.perf_counter()
            (one @ other)[0, 0].item()  # a GPU answers when it is done
            best = min(best, time.perf_counter() - started)
    where = f"{chosen.threads} threads" if chosen.device == "cpu" else torch.cuda.get_device_name()
    return 2 * size**3 / best / 1e9, f"{str(precision).removeprefix('torch.')} on {where}"


if __name__ == "__main__":
    main()
