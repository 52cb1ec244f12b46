"""Kill a training process again and again, at any moment, and see whether anything is lost.

Trains a random two-layer GPT-2 (with dropout) undisturbed; then the same run, killed with SIGKILL
at random moments, a fifth of them during its start, and resumed by the command line until it is
done. The weights must be identical, bit for bit, and every step that the process had told of must
be in the database.

    python benchmarks/soak.py [--kills 50] [--seed 1] [--json]
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch
from safetensors.torch import load_file

from core.storage.workspace import Workspace
from core.training.runs.store import RunStore

_EPOCHS = 500  # of 40 rows: long enough to be killed fifty times
_START_SHARE = 0.2  # of the kills come while the process still starts, so many seconds after that
_LONGEST_START_S = 5.0
_LONGEST_S = 3.0  # from the first step to the kill, for the others


def main() -> None:
    """Kill, resume, compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(Path(folder), chosen.kills, random.Random(chosen.seed))
    print(
        json.dumps(result)
        if chosen.json
        else "\n".join(f"{name}: {value}" for name, value in result.items())
    )
    if not (result["identical"] and result["lost"] == 0):
        sys.exit(1)


def soak(folder: Path, kills: int, rng: random.Random) -> dict[str, int | bool]:
    """Return how often the run was killed, how many acknowledged steps are missing, and whether the
    weights are identical.
    """
    options = [
        str(write_rows(folder)),
        "--model",
        str(write_model(folder)),
        "--method",
        "full",
        "--epochs",
        str(_EPOCHS),
    ]
    options += [
        "--batch-size",
        "4",
        "--learning-rate",
        "0.003",
        "--watched-prompts",
        "0",
        "--checkpoint-every-s",
        "0",
    ]
    workspace = Workspace(folder / "workspace")
    start(workspace, [*options, "--name", "whole"]).wait()
    done, in_start, lost = 0, 0, 0
    process = start(workspace, [*options, "--name", "killed"])
    while done < kills:
        if rng.random() < _START_SHARE:
            told = kill_after(workspace, process, rng.uniform(0, _LONGEST_START_S))
        else:
            wait_for_a_step(workspace, process)
            told = kill_after(workspace, process, rng.uniform(0, _LONGEST_S))
        if process.returncode == 0:
            sys.exit(f"The run was done after {done} kills: give it more epochs.")
        stored = stored_steps(workspace)
        done, in_start, lost = done + 1, in_start + (not told), lost + len(told - stored)
        # or it was killed before it was written down
        known = any(row["name"] == "killed" for row in RunStore(workspace).all())
        process = start(
            workspace, ["--resume", "--name", "killed"] if known else [*options, "--name", "killed"]
        )
    process.wait()
    one, other = (
        load_file(workspace.model_folder(name) / "model.safetensors")
        for name in ("whole", "killed")
    )
    identical = all(torch.equal(one[name], other[name]) for name in one)
    result = {
        "kills": done,
        "of them before a step": in_start,
        "steps": len(stored_steps(workspace)),
        "lost": lost,
    }
    workspace.close()
    return {**result, "identical": identical}


def stored_steps(workspace: Workspace) -> set[int]:
    """Return the steps of the killed run that the database knows."""
    if not any(row["name"] == "killed" for row in RunStore(workspace).all()):
        return set()
    return {row["step"] for row in RunStore(workspace).metrics("killed", "train")}


def start(workspace: Workspace, words: Sequence[str]) -> "subprocess.Popen[bytes]":
    """Start the command line's training; what it tells goes to a file, which never makes it wait."""
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
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with (workspace.folder / "events.jsonl").open("wb") as events:
        return subprocess.Popen(
            line, cwd=ROOT, stdout=events, stderr=subprocess.DEVNULL, env=environment
        )


def wait_for_a_step(workspace: Workspace, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a process tells of a step, or ends."""
    while (
        process.poll() is None
        and b'"StepDone"' not in (workspace.folder / "events.jsonl").read_bytes()
    ):
        time.sleep(0.02)


def kill_after(
    workspace: Workspace, process: "subprocess.Popen[bytes]", seconds: float
) -> set[int]:
    """Kill a process after so long, unless it ends before, and return the steps that it told of."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    lines = (workspace.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    # the last line may be cut off
    events = [json.loads(line) for line in lines if line.endswith("}")]
    return {event["step"] for event in events if event["event"] == "StepDone"}


def write_rows(folder: Path) -> Path:
    """Write forty short rows."""
    path = folder / "rows.json"
    rows = [
        {"instruction": f"What comes after {n}?", "output": f"After {n} comes {n + 1}."}
        for n in range(40)
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def write_model(folder: Path) -> Path:
    """Write a random model with the bundled tokenizer."""
    from transformers import AutoModelForCausalLM, GPT2Config

    path = folder / "model"
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=8192,
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=256,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(ROOT / "data" / "models" / "pocket" / name, path / name)
    return path


if __name__ == "__main__":
    main()
