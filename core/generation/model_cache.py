"""The models in memory: loaded once, shared by chat and review, the least used one put away.

Knows no run in progress.
"""

import threading

from cachetools import LRUCache

from core.generation.chat_model import ChatModel
from core.generation.models_thread import in_passing_thread
from core.libraries import import_libraries
from core.models.encoder import encoder_of
from core.models.resolve import ModelPlaces, ModelSource, find_model

_CAPACITY = 3


class ModelCache:
    """Hands out speakers by a user's word for a model. Safe to use from many threads."""

    def __init__(self, places: ModelPlaces | None) -> None:
        """``places`` are a workspace's; without them there are no runs."""
        self._places = places
        self._lock = threading.Lock()
        self._chat_models: LRUCache[tuple[str, int, str], ChatModel] = LRUCache(_CAPACITY)

    def find(self, name: str) -> ModelSource:
        """Return where a model lies and what is known of it, without loading it.

        Raises ModelError.
        """
        return find_model(name, self._places)

    def get(self, name: str, style: str = "") -> ChatModel:
        """Return a model ready to answer, under ``style`` or else the one it was tuned with.

        Raises ModelError or StyleError when it cannot be loaded.
        """
        source = self.find(name)
        key = _key(source, style)
        with self._lock:
            if key not in self._chat_models:
                self._put(key, in_passing_thread(lambda: _load(source, style)))
            return self._chat_models[key]

    def is_loaded(self, name: str, style: str = "") -> bool:
        """Return whether a model is in memory. Raises ModelError."""
        key = _key(self.find(name), style)
        with self._lock:
            return key in self._chat_models

    def loaded(self) -> list[tuple[str, float]]:
        """Return the names of the models in memory, each with its size in MiB."""
        with self._lock:
            models = list(self._chat_models.values())
        return [
            (
                one.source.name,
                sum(p.numel() * p.element_size() for p in one.model.parameters()) / 2**20,
            )
            for one in models
        ]

    def free(self) -> None:
        """Put all models away; who still answers with one keeps it till the end."""
        with self._lock:
            self._chat_models.clear()

    def _put(self, key: tuple[str, int, str], chat_model: ChatModel) -> None:
        for old in [
            known for known in self._chat_models if known[0] == key[0] and known[1] != key[1]
        ]:
            del self._chat_models[old]  # the run has saved a better model since
        self._chat_models[key] = chat_model


def _key(source: ModelSource, style: str) -> tuple[str, int, str]:
    files = [
        path
        for folder in filter(None, (source.folder, source.base_folder))
        for path in folder.glob("*.safetensors")
    ]
    return str(source.folder), max(path.stat().st_mtime_ns for path in files), style


def _load(source: ModelSource, style: str) -> ChatModel:
    import_libraries()
    from core.models.load import load_model

    model = load_model(source)
    model.requires_grad_(
        requires_grad=False
    )  # nobody trains it, so what is made of its weights stays true
    return ChatModel(source, model, encoder_of(source, style))
