"""What every test of this folder stands on."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last bit of a sum depends on the number of threads; two processes of several threads
    would only wait for each other.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
