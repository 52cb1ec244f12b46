"""A model of the Hugging Face hub: what it is, whether it is here already, and fetching it.

Reads no weight. Who may fetch is known by huggingface's own login or HF_TOKEN alone.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from core.errors import ModelError, StoppedError
from core.progress import watched
from core.text import shortened

_FILES = (".safetensors", ".json", ".txt", ".model", ".jinja")
_OTHERS = "consolidated"  # a second copy of the weights, in another library's layout
_CHUNK = 2**18
_PART = ".fuata"  # of what has come so far
_SHA256_DIGITS = 64
_MIB = 2**20
_STEP = "fetching"

Tell = Callable[[int], object]  # is given the bytes that have come


@dataclass(frozen=True, slots=True, kw_only=True)
class HubModel:
    """What the hub says of a model, before anything of it is fetched."""

    name: str  # owner/name
    revision: str  # the commit, so that what is fetched is what was looked at
    licence: str  # '' where its card names none
    files: tuple[tuple[str, int], ...]  # that transformers needs, and their bytes

    @property
    def size(self) -> int:
        """All bytes that are fetched."""
        return sum(size for _, size in self.files)

    @property
    def words(self) -> str:
        """What a user is told before it is fetched."""
        return f"{self.size / _MIB:,.0f} MiB, licence: {self.licence or 'none is named'}"


def find_hub_model(name: str) -> HubModel:
    """Ask the hub for a model.

    Raises ModelError where there is none, it is for people with leave alone, its weights are not
    safetensors, or there is no network.
    """
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(name, files_metadata=True)
    except Exception as error:  # the hub's HTTP client raises classes of its own
        raise _why_not(name, error) from error
    files = tuple(
        (one.rfilename, one.size or 0)
        for one in info.siblings or []
        if one.rfilename.endswith(_FILES)
        and "/" not in one.rfilename
        and not one.rfilename.startswith(_OTHERS)
    )
    if not any(path.endswith(".safetensors") for path, _ in files):
        raise ModelError(
            f"'{name}' has no weights as safetensors on the hub, and others can run code when "
            "opened: choose another."
        )
    card: Any = info.card_data or {}
    licence = card.get("license") or ""
    licence = ", ".join(licence) if isinstance(licence, list) else str(licence)
    return HubModel(name=name, revision=str(info.sha or "main"), licence=licence, files=files)


def local_copy(name: str) -> Path | None:
    """Return where a hub model lies in huggingface's cache, None where not all of it is there."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except Exception:  # it has a class for every reason why it is not there
        return None
    return folder if is_whole(folder) else None


def is_whole(folder: Path) -> bool:
    """Return whether a folder has a model's config and all its weights, or an adapter's."""
    if not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        return False
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return any(folder.glob("*.safetensors"))
    try:
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError):
        return False
    return all((folder / name).is_file() for name in named)


def fetch_hub_model(found: HubModel) -> Path:
    """Fetch what is not here yet, and return the folder; what was begun before goes on.

    Somebody may watch it, and stop it. Raises ModelError where the network or the disk gives way,
    StoppedError where it was stopped.
    """
    from huggingface_hub import constants, hf_hub_download

    constants.DOWNLOAD_CHUNK_SIZE = _CHUNK  # by which progress is told and a stop is seen
    _check_room(found)
    done = 0
    title = f"Fetching {shortened(found.name, 60)} ({found.size / _MIB:,.0f} MiB)"
    with watched(title, {_STEP: 1.0}) as watch:

        def tell(came: int) -> None:
            watch.step = _STEP
            watch.share_of_step = min((done + came) / max(found.size, 1), 1.0)
            if watch.is_stopping:
                raise StoppedError(f"{watch.title} was stopped; it goes on from there next time")

        folder = Path()
        # the config last: a folder without it is no model
        for path, size in sorted(found.files, key=lambda file: file[0] == "config.json"):
            tell(0)
            try:
                _fetch_blob(found, path, tell)
                folder = Path(hf_hub_download(found.name, path, revision=found.revision)).parent
            except (ModelError, StoppedError):
                raise
            except Exception as error:
                raise _why_not(found.name, error) from error
            done += size
        _note_newest(found)
    return folder


def _fetch_blob(found: HubModel, path: str, tell: Tell) -> None:
    """Fetch a file's content to where the cache keeps it, going on with what came the last time:
    the hub's library would begin anew.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(found.name, path, revision=found.revision)
    facts = get_hf_file_metadata(url)
    if not facts.etag or facts.size is None:
        return  # of a kind that the library may know
    blob = _cache_of(found) / "blobs" / facts.etag
    if blob.exists():
        return
    blob.parent.mkdir(parents=True, exist_ok=True)
    part = blob.with_name(f"{facts.etag}{_PART}")
    with FileLock(_cache_of(found) / ".fuata.lock"):
        with part.open("r+b" if part.exists() else "w+b") as file:
            came = file.seek(0, os.SEEK_END)
            if came > facts.size:
                came = file.truncate(file.seek(0))
            http_get(
                url,
                file,
                resume_size=came,
                headers=build_hf_headers(),
                expected_size=facts.size,
                tqdm_class=_bar(tell),
            )
        _check_hash(part, facts.etag, path)
        part.replace(blob)


def _check_hash(part: Path, etag: str, path: str) -> None:
    """Raise ModelError, and forget what came, where a large file is not what the hub names."""
    if len(etag) != _SHA256_DIGITS:
        return  # of a small file, named by git
    with part.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() == etag:
            return
    part.unlink()
    raise ModelError(f"{path} came damaged from the hub: fetch it again.")


def _cache_of(found: HubModel) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=found.name, repo_type="model")
    return Path(constants.HF_HUB_CACHE) / folder


def _bar(tell: Tell) -> type[Any]:
    """Return a bar of the kind that the hub's library fills, which is shown nowhere."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *values: Any, **named: Any) -> None:
            self.came = int(named.get("initial") or 0)
            named.pop("name", None)
            super().__init__(*values, **{**named, "disable": True})

        def update(self, n: float | None = 1) -> None:
            self.came += int(n or 0)
            tell(self.came)

    return Bar


def _note_newest(found: HubModel) -> None:
    """Let the cache know that this commit is what the name stands for, as its library does for a
    branch.
    """
    refs = _cache_of(found) / "refs"
    refs.mkdir(parents=True, exist_ok=True)
    (refs / "main").write_text(found.revision, encoding="utf-8")


def _check_room(found: HubModel) -> None:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE).absolute()
    place = next(parent for parent in (cache, *cache.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if found.size > free:
        raise ModelError(
            f"'{found.name}' has {found.size / _MIB:,.0f} MiB, and {free / _MIB:,.0f} are free in "
            f"{place}: make room, or set HF_HOME to a larger disk."
        )


def _why_not(name: str, error: Exception) -> ModelError:
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return ModelError(
            f"'{name}' is only for people whom its owners gave leave: ask for it at "
            f"https://huggingface.co/{name}, then sign in here (hf auth login, or HF_TOKEN)."
        )
    if isinstance(error, RepositoryNotFoundError | HFValidationError):
        return ModelError(
            f"There is no model '{shortened(name)}' here or on the hub: check the name; a private "
            "one takes hf auth login, or HF_TOKEN."
        )
    if isinstance(error, OfflineModeIsEnabled):
        return ModelError(
            f"There is no model '{shortened(name)}' here, and HF_HUB_OFFLINE forbids to ask the hub."
        )
    if isinstance(error, OSError) and error.errno is not None and error.filename:
        return ModelError(f"{error.filename} cannot be written: {error.strerror}.")
    return ModelError(
        f"The model '{shortened(name)}' is not here and could not be fetched from the hub: check "
        f"the network ({type(error).__name__}); what has come stays for the next time."
    )
