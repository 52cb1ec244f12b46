"""A dataset of the Hugging Face hub: which files it has, and fetching them. Reads no row.

The network is used only here, and only for the dataset that a user named.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from core.errors import DataError
from core.text import shortened

_MIB = 2**20
_BLOCK_BYTES = _MIB  # that are fetched at once of a file that is read in part


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """One file of a dataset; its path names folders with "/"."""

    path: str
    size: int  # bytes; 0 where the hub does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class HubDataset:
    """What the hub says of a dataset at one revision."""

    name: str  # owner/name
    revision: str  # the commit, so that what is fetched is what was looked at
    licence: str  # '' where its card names none
    files: tuple[HubFile, ...]  # that may hold rows


def find_hub_dataset(name: str, revision: str, endings: Sequence[str]) -> HubDataset:
    """Ask the hub for a dataset's files of the given endings.

    Raises DataError where there is no such dataset, or no network.
    """
    from huggingface_hub import HfApi

    try:
        info = HfApi().dataset_info(name.strip(), revision=revision or None, files_metadata=True)
    except Exception as error:  # the hub's HTTP client raises classes of its own
        raise _unreachable(name, error) from error
    files = tuple(
        HubFile(path=one.rfilename, size=one.size or 0)
        for one in info.siblings or []
        if one.rfilename.lower().removesuffix(".gz").endswith(tuple(endings))
    )
    if not files:
        raise DataError(f"'{shortened(name)}' has no file that can be read: choose another.")
    card: Any = info.card_data or {}
    licence = card.get("license") or ""
    licence = ", ".join(licence) if isinstance(licence, list) else str(licence)
    return HubDataset(
        name=name.strip(), revision=str(info.sha or revision), licence=licence, files=files
    )


def choose_files(
    found: HubDataset, config: str, split: str, split_of: Callable[[str], str | None]
) -> tuple[HubFile, ...]:
    """Return the files of a configuration and a split, '' for any.

    A configuration is a folder of that name, or stands in the file's. Raises DataError where there
    are none.
    """
    files = [
        one
        for one in found.files
        if (not config or config.casefold() in _names(one.path))
        and (not split or split_of(one.path) == split)
    ]
    if not files:
        folders = sorted({str(PurePosixPath(one.path).parent) for one in found.files} - {"."})
        have = f"; its folders are {', '.join(folders[:8])}" if folders else ""
        raise DataError(f"'{found.name}' has no file for that configuration and split{have}.")
    return tuple(files)


def _names(path: str) -> set[str]:
    pure = PurePosixPath(path.casefold())
    return {*pure.parts[:-1], pure.name.split(".", maxsplit=1)[0]}


def fetch_file(found: HubDataset, file: HubFile, folder: Path) -> Path:
    """Fetch one file into ``folder``, below its own folders, and return where it lies.

    Raises DataError where the network or the disk gives way.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        return Path(
            hf_hub_download(
                found.name,
                file.path,
                repo_type="dataset",
                revision=found.revision,
                local_dir=folder,
            )
        )
    except Exception as error:
        raise _unreachable(found.name, error) from error


@contextmanager
def opened_file(found: HubDataset, file: HubFile) -> Iterator[IO[bytes]]:
    """Give one file to be read in part: only what is read of it is fetched.

    Raises DataError where the network gives way.
    """
    from huggingface_hub import HfFileSystem

    try:
        system = HfFileSystem(use_listings_cache=False)
        path = f"datasets/{found.name}@{found.revision}/{file.path}"
        with system.open(path, "rb", block_size=_BLOCK_BYTES) as content:
            yield content
    except DataError:
        raise
    except Exception as error:
        raise _unreachable(found.name, error) from error


def check_total(files: Sequence[HubFile], most_mib: int) -> None:
    """Raise DataError where files are larger than may be read."""
    total = sum(one.size for one in files)
    if total > most_mib * _MIB:
        raise DataError(
            f"These files hold {total / _MIB:,.0f} MiB, more than {most_mib:,}: choose a split, a "
            "configuration, or how many rows."
        )


def _unreachable(name: str, error: Exception) -> DataError:
    return DataError(
        f"The dataset '{shortened(name)}' could not be fetched from the hub: check its name, the "
        f"revision and the network ({type(error).__name__})."
    )
