"""``python -m core.prompts.template_worker``: fills foreign templates, a JSON object on a line in,
one out, till its input ends.

It may be killed at any moment, and takes no more memory than it may: see template_process.py.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jinja2 import TemplateSyntaxError

from core.prompts import sandbox

MOST_CHARACTERS = 4_000_000  # of a filled template
_MOST_MEMORY_BYTES = 2**30
_MOST_S = 30.0


def main() -> None:
    """Answer until the input ends."""
    limit_s = float(sys.argv[1]) if len(sys.argv) > 1 else _MOST_S
    _bound_memory()
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    for line in sys.stdin:
        with _ended_after(limit_s):
            answer = _answer(json.loads(line))
        print(json.dumps(answer), flush=True)


def _answer(asked: dict[str, Any]) -> dict[str, str]:
    try:
        text = sandbox.fill(asked["template"], asked["values"], asked["day"])
    except MemoryError:
        return {"error": "it asks for more memory than a chat template may take"}
    except TemplateSyntaxError as error:
        return {"error": f"it is not valid Jinja: line {error.lineno}: {str(error.message)[:300]}"}
    except (
        Exception
    ) as error:  # a template is foreign code: whatever it raises is the template's fault
        return {"error": _line(error) + (str(error)[:300] or type(error).__name__)}
    if len(text) > MOST_CHARACTERS:
        return {"error": f"it writes more than {MOST_CHARACTERS:,} characters"}
    return {"text": text}


def _line(error: Exception) -> str:
    """Return which line of the template an error comes from, '' where that cannot be told."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == "<template>"]
    return f"line {lines[-1]}: " if lines else ""


@contextmanager
def _ended_after(limit_s: float) -> Iterator[None]:
    """Let a block take so long at most: else this process ends, even if the one that would kill it
    has gone and a template loops for ever.
    """
    if sys.platform == "win32":
        timer = threading.Timer(limit_s, os._exit, [1])
        timer.daemon = True
        timer.start()
        yield
        timer.cancel()
        return
    signal.setitimer(signal.ITIMER_REAL, limit_s)  # whose signal nobody handles: it ends us
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


def _bound_memory() -> None:
    if sys.platform == "win32":  # it has no such limit; there the time alone is bounded
        return
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))


if __name__ == "__main__":
    main()
