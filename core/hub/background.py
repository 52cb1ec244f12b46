"""Hub models that are fetched beside the page: whoever asked may leave it, and it goes on."""

import threading
from dataclasses import dataclass, field

from core.errors import UserError
from core.hub.model_files import HubModel, fetch_hub_model


@dataclass(slots=True)
class _Fetch:
    thread: threading.Thread
    error: list[UserError] = field(default_factory=list)


class ModelFetches:
    """The fetches of this process, one of each model at a time."""

    def __init__(self) -> None:
        self._fetches: dict[str, _Fetch] = {}
        self._lock = threading.Lock()

    def start(self, found: HubModel) -> None:
        """Begin to fetch a model, if that is not going on already."""
        with self._lock:
            if (known := self._fetches.get(found.name)) and known.thread.is_alive():
                return
            error: list[UserError] = []
            thread = threading.Thread(target=_fetch, args=(found, error), daemon=True)
            self._fetches[found.name] = _Fetch(thread, error)
            thread.start()

    def wait(self, name: str) -> None:
        """Wait for the end of a fetch. Raises what it ended with, where that is for a user."""
        fetch = self._fetches.get(name)
        if fetch is None:
            return
        fetch.thread.join()
        if fetch.error:
            raise fetch.error[0]


def _fetch(found: HubModel, error: list[UserError]) -> None:
    try:
        fetch_hub_model(found)
    except UserError as told:
        error.append(told)
