"""A run's own process: the command line's `core train --resume`, supervised.

It writes what happens into the database by itself, so neither the page's end nor its own takes the
other along. What users ask of it, it reads from the database.
"""

from core.processes.supervisor import ChildProcess
from core.storage.workspace import Workspace
from core.training.runs.runner import KILLED_MESSAGE, is_alive
from core.training.runs.states import ACTIVE, RunState
from core.training.runs.store import RunStore

LOG_FILE = "worker.log"


def start_training_process(workspace: Workspace, name: str, processes: int = 0) -> ChildProcess:
    """Start the process that trains a run which is written down.

    With more than one, ``processes`` train it together; 0 stands for one on each CUDA device.
    """
    where = ["--workspace", str(workspace.folder.resolve())]
    count = processes or _cuda_devices()
    together = ["--processes", str(count)] if count > 1 else []
    arguments = ["train", "--resume", "--name", name, *where, *together]
    return ChildProcess(arguments, workspace.run_folder(name) / LOG_FILE)


def record_exit(workspace: Workspace, name: str, process: ChildProcess) -> None:
    """Write down why a run's process ended where it could not do so itself."""
    runs = RunStore(workspace)
    state, status = runs.find(name)["state"], process.status or 0
    if is_alive(workspace, name):  # another process trains it, and ours was turned away
        return
    # the page may have seen it dead before us
    if state in ACTIVE or (state == RunState.INTERRUPTED and status < 0):
        how = KILLED_MESSAGE if process.was_killed else process.failure() or process.describe_exit()
        runs.set_state(name, RunState.FAILED, f"The training process {how}")


def _cuda_devices() -> int:
    import torch

    from core.training.distributed import can_share_gpus

    return torch.cuda.device_count() if can_share_gpus() else min(torch.cuda.device_count(), 1)
