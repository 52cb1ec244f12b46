"""A model behind an OpenAI-compatible address, asked like our own.

The only module that leaves this machine, and only when asked. ``POST {address}/chat/completions``
with ``messages``; the key, if any, comes from the environment and is stored nowhere. It is sent to
the addresses alone that the owner named beside it when starting: a review may name any.
"""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from core.datasets.conversation import Turn, turn_text
from core.errors import ModelError
from core.generation.chat_model import Response, in_order
from core.generation.sampling import Sampling
from core.text import trimmed, whole_characters

KEY_VARIABLE = "FUATA_API_KEY"
ADDRESSES_VARIABLE = "FUATA_API_ADDRESSES"  # those that the key belongs to, with blanks between
_AT_ONCE = 4
_TIMEOUT_S = 180.0
_LISTING_S = 10.0
_MOST_LISTED = 200
_TRIES = 3
_BUSY = {429, 500, 502, 503, 504}
_FINISHED = {"length": "length", "stop": "end"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One model at one address."""

    address: str  # up to and without /chat/completions
    model: str

    @property
    def name(self) -> str:
        """What it is called on the page."""
        return f"{self.model} at {urlsplit(self.address).netloc}"

    def respond_all(
        self, prompts: Sequence[Sequence[Turn]], sampling: Sampling, should_stop: Callable[[], bool]
    ) -> Iterator[Response]:
        """Yield one response per prompt, in order.

        Raises ModelError when the address does not answer as it should.
        """
        return in_order(self.respond_each(prompts, sampling, should_stop))

    def respond_each(
        self, prompts: Sequence[Sequence[Turn]], sampling: Sampling, should_stop: Callable[[], bool]
    ) -> Iterator[tuple[int, Response]]:
        """Yield every prompt's number and response as soon as it is there, several asked at once.

        Raises ModelError when the address does not answer as it should.
        """
        waiting = deque(enumerate(prompts))
        asked: dict[Future[Response], int] = {}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while asked or (waiting and not should_stop()):
                while waiting and len(asked) < _AT_ONCE and not should_stop():
                    number, turns = waiting.popleft()
                    asked[pool.submit(self._respond, turns, sampling)] = number
                for done in wait(asked, return_when=FIRST_COMPLETED).done:
                    yield asked.pop(done), done.result()

    def facts(self) -> dict[str, Any]:
        """Return what a review keeps of it."""
        return asdict(self)

    def _respond(self, turns: Sequence[Turn], sampling: Sampling) -> Response:
        messages = [{"role": turn.role, "content": turn_text(turn, named=False)} for turn in turns]
        answer = self.ask(
            "chat/completions",
            {"model": self.model, "messages": messages, **_asked_sampling(sampling)},
        )
        try:
            [choice, *_] = answer["choices"]
            text, reason = choice["message"]["content"] or "", str(choice.get("finish_reason"))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"{self.address} answered without a message: is it an OpenAI-compatible address?"
            ) from error
        usage = answer.get("usage")
        tokens = usage.get("completion_tokens", 0) if isinstance(usage, dict) else 0
        asked = json.dumps(messages, ensure_ascii=False)
        # line ends would tell whose answer it is
        text = whole_characters(str(text)).replace("\r\n", "\n").replace("\r", "\n")
        return Response(
            asked,
            trimmed(text),
            tokens if isinstance(tokens, int) else 0,
            _FINISHED.get(reason, "end"),
        )

    def ask(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        """Post a question to a path below the address, and return what it answers.

        Raises ModelError when the address does not answer as it should.
        """
        return self._send("POST", path, _TIMEOUT_S, question)

    def served(self) -> list[str]:
        """Return the names of the models that are served there, as ``ADDRESS#MODEL``.

        Raises ModelError when the address does not say.
        """
        found = self._send("GET", "models", _LISTING_S).get("data")
        named = (
            [one.get("id") for one in found if isinstance(one, dict)]
            if isinstance(found, list)
            else []
        )
        names = [whole_characters(name) for name in named if isinstance(name, str) and name]
        if not names:
            raise ModelError(f"{self.address} names no model: write {self.address}#MODEL.")
        return [f"{self.address}#{name}" for name in names[:_MOST_LISTED]]

    def _send(
        self, method: str, path: str, timeout_s: float, question: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        import httpx

        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        for further in range(_TRIES - 1, -1, -1):
            try:
                answer = httpx.request(
                    method, f"{self.address}/{path}", json=question, headers=headers,
                    timeout=timeout_s,
                )  # fmt: skip
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
                raise ModelError(
                    f"{self.address} does not answer ({error}): check the address and that it runs."
                ) from error
            if answer.status_code not in _BUSY or not further:
                break
            time.sleep(2.0 ** (_TRIES - further))
        return self._read(answer.status_code, answer.text)

    @property
    def key(self) -> str:
        """The key that was given for this very address, or ''."""
        key = os.environ.get(KEY_VARIABLE)
        return key if key and self._owns_key() else ""

    def _owns_key(self) -> bool:
        """Return whether the key was given for this very address: scheme, host, port and path."""
        return _plain(self.address) in {
            _plain(word) for word in os.environ.get(ADDRESSES_VARIABLE, "").split()
        }

    def _read(self, status: int, text: str) -> dict[str, Any]:
        if status in {401, 403}:
            raise ModelError(
                f"{self.address} wants a key: set {KEY_VARIABLE} to it and {ADDRESSES_VARIABLE} "
                f"to {self.address} in the "
                "environment, and start again."
            )
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if status != 200 or not isinstance(value, dict):
            raise ModelError(
                f"{self.address} answered {status}: {' '.join(text.split())[:200] or 'nothing'}."
            )
        return value


def find_endpoint(words: str) -> Endpoint:
    """Return the endpoint that ``ADDRESS#MODEL`` names. Raises ModelError when it names none."""
    address, _, model = words.partition("#")
    if not _is_address(address) or not model.strip():
        raise ModelError(
            f"'{address.rpartition('@')[2]}#{model}' is no endpoint: write "
            "http://HOST:PORT/v1#MODEL."
        )
    return Endpoint(_base(address), model.strip())


def models_served(address: str) -> list[str]:
    """Return the models that an address serves, as ``ADDRESS#MODEL``.

    Raises ModelError when it is no address, or does not answer as it should.
    """
    if not _is_address(address):
        raise ModelError(
            f"'{address.rpartition('@')[2]}' is no address: write http://HOST:PORT/v1."
        )
    return Endpoint(_base(address), "").served()


def _is_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        is_whole = (
            parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        )
    except ValueError:
        return False
    return is_whole and "@" not in address


def _base(address: str) -> str:
    return address.rstrip("/").removesuffix("/chat/completions")


def _plain(address: str) -> str:
    """Return an address as it is compared: lower-case where case says nothing, its usual port
    named.
    """
    try:
        parts = urlsplit(address.strip().rstrip("/"))
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return ""
    return f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}:{port}{parts.path.removesuffix('/chat/completions')}"


def _asked_sampling(sampling: Sampling) -> dict[str, Any]:
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_new_tokens,
        "seed": sampling.seed,
    }
