"""Everything needed to go on after a crash as if there had been none.

Safetensors and JSON, never pickle. A step's randomness depends on the seed and the step's number
alone, and the order of rows on the seed and the epoch; so weights, optimiser moments and a few
numbers are the whole state.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from core.errors import TrainingError
from core.models.fsdp import distribute_like, whole
from core.storage.atomic_write import recover, written_aside

_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(slots=True)
class Progress:
    """Where a run stands."""

    step: int = 0  # steps done
    seen_tokens: int = 0
    elapsed_s: float = 0.0
    best_step: int = 0
    best_loss: float | None = None
    last_loss: float | None = None  # of an evaluation at this very step
    evaluations_without_gain: int = 0
    matmul_backend: str = ""  # the library that multiplies, "" before the first step
    threads: int = 0  # that compute on a CPU, 0 before the first step


def save_checkpoint(
    folder: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.AdamW,
    progress: Progress,
    *,
    writes: bool = True,
) -> None:
    """Write the state of training to ``folder``, whole or not at all; of several processes only one
    ``writes``.

    It is the same whichever number of processes the state lay in, so a run may go on with another
    number.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in _trained(model):
        parts = {f"weight.{name}": parameter}
        if parameter in optimizer.state:
            parts |= {f"{moment}.{name}": optimizer.state[parameter][moment] for moment in _MOMENTS}
        for key, part in parts.items():
            # put together in every process, but kept by the one that writes, and not on its device
            in_one = whole(part)
            if writes:
                tensors[key] = in_one.cpu().contiguous()
    if not writes:
        return
    with written_aside(folder) as aside:
        save_file(tensors, aside / "state.safetensors")
        (aside / "progress.json").write_text(json.dumps(asdict(progress)), encoding="utf-8")


def load_checkpoint(folder: Path, model: torch.nn.Module, optimizer: torch.optim.AdamW) -> Progress:
    """Bring model and optimiser to the saved state; a fresh Progress when nothing was saved.

    Raises TrainingError when the checkpoint is damaged or does not fit the model.
    """
    recover(folder)
    if not (folder / "progress.json").is_file():
        return Progress()
    try:
        progress = _read_progress((folder / "progress.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "state.safetensors")
        with torch.no_grad():
            for name, parameter in _trained(model):
                parameter.copy_(distribute_like(parameter, tensors[f"weight.{name}"]))
                _restore_moments(optimizer, name, parameter, tensors, progress.step)
    except (KeyError, RuntimeError, ValueError, TypeError, OSError, SafetensorError) as error:
        raise TrainingError(
            f"The checkpoint in {folder} is damaged or of another model: start the run anew."
        ) from error
    return progress


def _read_progress(text: str) -> Progress:
    """Read what this version or an earlier one wrote."""
    values = json.loads(text)
    if "products" in values:  # until 0.1.0, by the names that it had
        earlier = {"usual": "default", "oneDNN": "onednn"}
        values["matmul_backend"] = earlier.get(values.pop("products"), "")
    return Progress(**values)


def _restore_moments(
    optimizer: torch.optim.AdamW,
    name: str,
    parameter: torch.nn.Parameter,
    tensors: dict[str, torch.Tensor],
    step: int,
) -> None:
    if f"exp_avg.{name}" not in tensors:
        return
    state = {
        moment: distribute_like(parameter, tensors[f"{moment}.{name}"].clone())
        for moment in _MOMENTS
    }
    where = parameter.device if optimizer.param_groups[0]["fused"] else torch.device("cpu")
    optimizer.state[parameter] = {"step": torch.tensor(float(step), device=where), **state}


def _trained(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    return [
        (name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad
    ]
