"""A file of a model's folder that holds a JSON object. Knows no model."""

import json
from pathlib import Path
from typing import Any

from core.errors import ModelError


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the object in a file; empty where there is no file, or no object in it.

    Raises ModelError where it is no JSON or cannot be read.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (ValueError, OSError, RecursionError) as error:
        raise ModelError(
            f"{path} is not valid JSON: copy it again from the model's source."
        ) from error
    return document if isinstance(document, dict) else {}
