"""The bundled samples, and the path that a FILE argument stands for. Reads no row."""

import hashlib
from functools import cache
from pathlib import Path

SAMPLES_FOLDER = Path(__file__).parents[2] / "data" / "samples"
SAMPLE = SAMPLES_FOLDER / "pocket.json"
SAMPLES = {  # by the word that stands for the file
    "sample": SAMPLE,
    "sample-swahili": SAMPLES_FOLDER / "swahili.json",
    "sample-conversations": SAMPLES_FOLDER / "conversations.json",
}


def find_file(name: str) -> Path:
    """Return the path that a user's FILE argument stands for: a bundled sample's word or a path."""
    return SAMPLES.get(name) or home_path(name)


@cache
def samples_by_hash() -> dict[str, str]:
    """Return the words of the bundled samples by the hash of their content."""
    return {hashlib.sha256(path.read_bytes()).hexdigest(): word for word, path in SAMPLES.items()}


def home_path(name: str) -> Path:
    """Return a path with ``~`` resolved; one that names nobody's home stays as it is."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)
