"""``python -m core.prompts.template_worker``: fills foreign templates, a JSON object on a line in,
one out, till its input ends.

It may be killed at any moment, and takes no more memory than it may: see template_process.py.
"""

import json
import sys
from typing import Any

from jinja2 import TemplateSyntaxError

from core.prompts import sandbox

MOST_CHARACTERS = 4_000_000  # of a filled template
_MOST_MEMORY_BYTES = 2**30


def main() -> None:
    """Answer until the input ends."""
    _bound_memory()
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


def _answer(asked: dict[str, Any]) -> dict[str, str]:
    try:
        text = sandbox.fill(asked["template"], asked["values"], asked["day"])
    except MemoryError:
        return {"error": "it asks for more memory than a chat template may take"}
    except TemplateSyntaxError as error:
        return {"error": f"it is not valid Jinja: {str(error)[:300]}"}
    except (
        Exception
    ) as error:  # a template is foreign code: whatever it raises is the template's fault
        return {"error": str(error)[:300] or type(error).__name__}
    if len(text) > MOST_CHARACTERS:
        return {"error": f"it writes more than {MOST_CHARACTERS:,} characters"}
    return {"text": text}


def _bound_memory() -> None:
    if sys.platform == "win32":  # it has no such limit; there the time alone is bounded
        return
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))


if __name__ == "__main__":
    main()
