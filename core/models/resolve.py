"""A user's word for a model becomes a folder on disk. Imports neither torch nor transformers.

``pocket``, ``smollm2``, a folder, a GGUF file, a run's name or a hub id. Only a hub id may reach for the network.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

from core.errors import ModelError
from core.hub.model_files import HubModel, fetch_hub_model, find_hub_model, local_copy
from core.models.gguf_file import SMOLLM2, find_smollm2, folder_of, is_gguf
from core.storage.json_object import read_json_object

BUNDLED_FOLDER = Path(__file__).parents[2] / "data" / "models"
FACTS_FILE = "fuata.json"  # what Fuata writes beside the weights it saves
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
_SAMPLED_BYTES = 2048
_LONGEST_HEADER = 100_000_000  # as the safetensors library has it

Kind = Literal["bundled", "folder", "run", "hub", "gguf"]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model lies and what is known of it without loading it."""

    name: str  # as the person named it
    kind: Kind
    folder: Path
    base_folder: Path | None  # set for an adapter: the model it stands on
    style: str  # the style it was tuned with; "" when unknown
    day: str = ""  # the date (ISO) that its template was told in tuning; "" when unknown

    @property
    def weights_folder(self) -> Path:
        """The folder of the whole model: an adapter's base, or the model itself."""
        return self.base_folder or self.folder

    @property
    def tokenizer_folder(self) -> Path:
        """The folder with its tokenizer; PEFT saves none beside an adapter, whose base has it."""
        has_one = any(
            (self.folder / name).is_file()
            for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")
        )
        return self.folder if has_one else self.weights_folder

    @property
    def is_adapter(self) -> bool:
        """Whether the folder holds a PEFT adapter and no weights of its own."""
        return self.base_folder is not None


class NotFetchedError(ModelError):
    """A model is on the hub and not here yet; ``found`` is what the hub says of it."""

    def __init__(self, found: HubModel) -> None:
        """Say what it is."""
        self.found = found
        super().__init__(
            f"'{found.name}' is on the hub and not here yet ({found.words}): fetch it under Train."
        )


class ModelPlaces(Protocol):
    """Where models of a workspace lie."""

    @property
    def models(self) -> Path:
        """The folder of models that were read from other layouts."""

    @property
    def fetches_at_once(self) -> bool:
        """Whether a hub model that is not here is fetched when it is named, or only told of."""

    def find_run_model(self, name: str) -> Path | None:
        """Return the model folder of a run, None where there is no such run."""


def find_model(name: str, places: ModelPlaces | None) -> ModelSource:
    """Return where the model a user named lies; without ``places`` there are no runs.

    A GGUF file is read into a plain folder, the first time. Raises ModelError when there is no such
    model or its weights are neither safetensors nor GGUF, NotFetchedError for one of the hub that
    is not to be fetched at once.
    """
    run = places.find_run_model(name) if places else None
    if run is not None:
        return _describe(name, "run", run, places)
    if name in bundled_models():
        return _describe(name, "bundled", BUNDLED_FOLDER / name, places)
    path = find_smollm2() if name == SMOLLM2 else _existing(name)
    if path is not None and path.is_file() and is_gguf(path.name):
        if places is None:
            raise ModelError(f"{path} is a GGUF file, which is read into a workspace: name one.")
        return _describe(name, "gguf", folder_of(path, places.models), places)
    if path is not None:
        return _describe(name, "folder", path, places)
    if not _HUB_ID.fullmatch(name) or name.startswith((".", "/")):
        raise ModelError(
            f"There is no model '{name}': give pocket, smollm2, a folder, a GGUF file, a run's name "
            "or a hub id (owner/name)."
        )
    at_once = places is None or places.fetches_at_once
    return _describe(name, "hub", _fetch(name, at_once=at_once), places)


def bundled_models() -> list[str]:
    """Return the names of the models that ship with Fuata."""
    return sorted(path.parent.name for path in BUNDLED_FOLDER.glob("*/config.json"))


def read_config(folder: Path) -> dict[str, Any]:
    """Return what a model's config says of its text part; empty where there is none."""
    config = read_whole_config(folder)
    text_config = config.get("text_config", config)
    return text_config if isinstance(text_config, dict) else {}


def read_whole_config(folder: Path) -> dict[str, Any]:
    """Return a model's config; empty where there is none."""
    return read_json_object(folder / "config.json")


def stored_type(folder: Path) -> str:
    """Return the type of a model's numbers on disk, which configs name in one of two ways; float32
    where none is named.
    """
    config = read_whole_config(folder)
    return str(config.get("dtype") or config.get("torch_dtype") or "float32")


def max_context(folder: Path) -> int:
    """Return the longest context in tokens that a model's config names; 1024 where it names none."""
    text_config = read_config(folder)
    for field in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"):
        if isinstance(value := text_config.get(field), int) and value > 0:
            return value
    return 1024


def block_count(folder: Path) -> int | None:
    """Return how many blocks a model's config names, or None."""
    config = read_config(folder)
    found = (config.get(field) for field in ("num_hidden_layers", "n_layer", "num_layers"))
    return next((count for count in found if isinstance(count, int)), None)


def read_facts(folder: Path) -> dict[str, Any]:
    """Return what Fuata wrote beside the weights; empty for a model it did not tune."""
    return read_json_object(folder / FACTS_FILE)


def weights_fingerprint(source: ModelSource) -> str:
    """Return a short hash of the weights that answer under a name, those of an adapter's base among
    them.
    """
    digest = hashlib.sha256()
    for folder in filter(None, (source.base_folder, source.folder)):
        for path in sorted(folder.glob("*.safetensors")):
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def weights_identity(folder: Path) -> str:
    """Return what tells a model folder's weights from others, in a moment whatever their size.

    A hash of every tensor's name and shape and of some bytes of its beginning, middle and end:
    training changes all that it trains. Raises ModelError for a damaged file.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        stat = path.stat()
        digest.update(_sampled(path, stat.st_size, stat.st_mtime_ns))
    return digest.hexdigest()[:16]


def tokenizer_identity(folder: Path) -> str:
    """Return what tells a model folder's tokenizer and chat template from others."""
    files = [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    return hashlib.sha256(
        b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)
    ).hexdigest()[:16]


@lru_cache(maxsize=256)
def _sampled(path: Path, _size: int, _changed_ns: int) -> bytes:
    """Return a hash of a safetensors file's header and of some of every tensor's bytes."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = file.read(min(length, _LONGEST_HEADER))
            tensors = {
                name: facts for name, facts in json.loads(header).items() if name != "__metadata__"
            }
            digest.update(json.dumps(tensors, sort_keys=True).encode())
            for _, facts in sorted(tensors.items()):
                first, last = (8 + length + int(offset) for offset in facts["data_offsets"])
                for start in (first, (first + last) // 2, max(last - _SAMPLED_BYTES, first)):
                    file.seek(start)
                    digest.update(file.read(min(_SAMPLED_BYTES, last - start)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: copy it again from the model's source.") from error
    return digest.digest()


def _describe(name: str, kind: Kind, folder: Path, places: ModelPlaces | None) -> ModelSource:
    if not folder.is_dir():
        raise ModelError(
            f"{folder} is a file, not a model: give the folder that holds config.json and "
            "*.safetensors."
        )
    facts = read_facts(folder)
    style, day = str(facts.get("style", "")), str(facts.get("day", ""))
    if (folder / "adapter_config.json").is_file():
        _check_safetensors(folder, "adapter_model")
        return ModelSource(name, kind, folder, _find_base(name, folder, places), style, day)
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} is no model: it has no config.json; give a folder saved by transformers."
        )
    _check_safetensors(folder, "model")
    return ModelSource(name, kind, folder, None, style, day)


def _existing(name: str) -> Path | None:
    try:
        path = Path(name).expanduser()
        return path.resolve() if path.exists() else None
    except (OSError, RuntimeError):  # too long for a path, not ours to look at, or nobody's home
        return None


def _check_safetensors(folder: Path, stem: str) -> None:
    if (folder / f"{stem}.safetensors").is_file() or (
        folder / f"{stem}.safetensors.index.json"
    ).is_file():
        return
    pickles = [
        *folder.glob("*.bin"),
        *folder.glob("*.pt"),
        *folder.glob("*.pth"),
        *folder.glob("*.ckpt"),
    ]
    if pickles:
        raise ModelError(
            f"{folder} holds a pickle checkpoint ({pickles[0].name}), which can run code when "
            "opened: convert it to safetensors."
        )
    raise ModelError(f"{folder} is no model: it has no {stem}.safetensors.")


def _find_base(name: str, folder: Path, places: ModelPlaces | None) -> Path:
    base = str(read_adapter(folder).get("base_model_name_or_path", ""))
    base = str(read_facts(folder).get("base_model", base))
    try:
        source = find_model(base, places)
    except ModelError as error:
        raise ModelError(
            f"The adapter '{name}' stands on '{base}', which is gone: {error}"
        ) from error
    if source.is_adapter:
        raise ModelError(
            f"The adapter '{name}' stands on another adapter ('{base}'): merge that one first."
        )
    was = read_facts(folder).get("base_weights")
    if was and was != weights_identity(source.folder):
        raise ModelError(
            f"The adapter '{name}' was tuned on '{base}' as it was then, whose weights have "
            "changed since, so it would answer "
            "otherwise: put the old weights back, or tune it anew."
        )
    return source.folder


def _fetch(name: str, *, at_once: bool) -> Path:
    """Return the local copy of a hub model; where there is none it is fetched ``at_once``, or told of."""
    if (known := local_copy(name)) is not None:
        return known
    found = find_hub_model(name)
    if not at_once:
        raise NotFetchedError(found)
    return fetch_hub_model(found)


def read_adapter(folder: Path) -> dict[str, Any]:
    """Return PEFT's config of an adapter, or nothing where there is none.

    Raises ModelError when it is damaged.
    """
    return read_json_object(folder / "adapter_config.json")
