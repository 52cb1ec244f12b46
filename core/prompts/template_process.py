"""A process that fills foreign templates: one that loops, or asks for all memory, is killed, and
nobody else waits for it.

Knows no style and no conversation.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import StyleError

_ROOT = Path(__file__).parents[2]
_PATIENCE_S = 5.0  # a real template takes a thousandth of a second
# what the system and the dynamic linker look for
_KEPT_VARIABLES = {"PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP"}
_START_S = 30.0  # until the process answers for the first time on a busy machine


class TemplateProcess:
    """One process, started when it is first needed and again after it had to be killed.

    Safe to use from many threads.
    """

    def __init__(self, patience_s: float = _PATIENCE_S) -> None:
        """Start nothing yet; ``patience_s`` is how long one filling may take."""
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._given_up: dict[
            str, str
        ] = {}  # what a template that had to be killed for is answered ever after

    def fill(self, template: str, values: Mapping[str, Any], day: str) -> str:
        """Return a template filled with values.

        Raises StyleError, whose text says what the template did.
        """
        if said := self._given_up.get(template):
            raise StyleError(said)
        asked = json.dumps({"template": template, "values": dict(values), "day": day})
        with self._lock:
            answer = self._ask(asked)
            if answer is None:
                said = f"it takes longer than {self._patience_s:g} s, or ends the process that fills it"
                self._given_up[template] = said
                raise StyleError(said)
        if "error" in answer:
            raise StyleError(str(answer["error"]))
        return str(answer["text"])

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._kill()

    def _ask(self, asked: str) -> dict[str, Any] | None:
        """Return the process's answer, None when it gave none in time; it is killed then."""
        patience_s = self._patience_s
        if self._process is None or self._process.poll() is not None:
            self._start()
            patience_s += _START_S
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(asked + "\n")
            self._process.stdin.flush()
            line = self._answers.get(timeout=patience_s)
        except (OSError, queue.Empty):
            line = ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._kill()
        return None

    def _start(self) -> None:
        search = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "core.prompts.template_worker", str(2 * self._patience_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(search),
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C in our terminal is for us: it ends when its input does
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._answers = queue.Queue()
        threading.Thread(
            target=_pass_on, args=[self._process, self._answers], name="templates", daemon=True
        ).start()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _pass_on(process: "subprocess.Popen[str]", answers: "queue.Queue[str]") -> None:
    """Hand a process's lines on, and at its end an empty one."""
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line)
    answers.put("")


def _environment(search: str) -> dict[str, str]:
    """Return what a Python needs to start, and nothing else: no key is there to be read."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT_VARIABLES}
    return {**kept, "PYTHONPATH": search, "PYTHONSAFEPATH": "1"}
