"""The workspace folder and its one SQLite file. Knows no model and no tensor."""

from pathlib import Path

DEFAULT_FOLDER = Path(__file__).parents[2] / "data" / "workspace"
