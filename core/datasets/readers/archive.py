"""Zip archives, and folders and several files packed as one: which members hold rows.

Nothing is unpacked to the disk, so no member's name can lead anywhere. Knows no row.
"""

import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import cast

from core.datasets.readers import raw
from core.datasets.splits_named import split_of_path
from core.errors import DataError
from core.text import shortened

# what the standard library raises for an archive that is not whole
DAMAGES = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, EOFError,
           OSError, ValueError)  # fmt: skip
_MOST_MEMBERS = 2_000
# what lies beside data and tells of them
_ABOUT = re.compile(
    r"(readme|licen[cs]e|dataset_infos?|dataset_dict|state|metadata)\b", re.IGNORECASE
)
_PROSE = (".txt", ".md")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every member that is packed here, so that bytes tell content


def check_archive(archive: zipfile.ZipFile, name: str) -> None:
    """Raise DataError for an archive with too many members, too much in them, or a key.

    What a member says of its size bounds what is read of it.
    """
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        raise DataError(f"{name} holds more than {_MOST_MEMBERS:,} files: pack fewer.")
    if any(member.flag_bits & 1 for member in members):
        raise DataError(f"{name} is locked with a password: unpack it first.")
    size, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
    if size > raw.MAX_FILE_MIB * raw.MIB:
        raise DataError(
            f"{name} holds more than {raw.MAX_FILE_MIB} MiB when unzipped: split it into smaller "
            "files."
        )
    if size > max(raw.UNSUSPICIOUS_MIB * raw.MIB, raw.EXPANDS_AT_MOST * packed):
        raise DataError(
            f"{name} grows to more than {raw.EXPANDS_AT_MOST} times its size when unzipped, as no "
            "text does: unzip it first."
        )


def data_members(names: Iterable[str], endings: Sequence[str]) -> list[tuple[str, str]]:
    """Return the names of members that may hold rows, each with the split that it names.

    Where ``datasets`` kept tables (``save_to_disk``), only its tables are rows. What a system or a
    program leaves in archives is passed over.
    """
    plain = sorted(
        name
        for name in names
        if not name.endswith("/")
        and not any(_is_left_behind(part) for part in PurePosixPath(name).parts)
    )
    kept = {PurePosixPath(name).parent for name in plain if name.endswith("state.json")}
    tables = [n for n in plain if n.endswith(".arrow") and PurePosixPath(n).parent in kept]
    readable = [name for name in plain if _ending(name).endswith(tuple(endings)) and not _ABOUT.match(
        PurePosixPath(name).name)]  # fmt: skip
    structured = [name for name in readable if not _ending(name).endswith(_PROSE)]
    return [(name, split_of_path(name) or "") for name in tables or structured or readable]


def _is_left_behind(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part not in {".", ".."})


def _ending(name: str) -> str:
    return name.lower().removesuffix(".gz")


def open_members(
    archive: zipfile.ZipFile, names: Iterable[str]
) -> Iterator[tuple[str, io.BytesIO]]:
    """Yield members' bytes. Raises DataError for one that is damaged or too large for memory."""
    for name in names:
        size = archive.getinfo(name).file_size
        if size > raw.MAX_DOCUMENT_MIB * raw.MIB and not name.lower().endswith((".csv", ".jsonl")):
            raise DataError(
                f"{shortened(name)} in the archive is larger than {raw.MAX_DOCUMENT_MIB} MiB: "
                "unpack it."
            )
        try:
            content = archive.read(name)
        except DAMAGES as error:
            raise DataError(
                f"{shortened(name)} in the archive is damaged: pack it again."
            ) from error
        yield name, io.BytesIO(content)


def pack(paths: Sequence[Path], target: Path) -> Path:
    """Pack files and folders into one archive, equal bytes for equal content, and return its path.

    Raises DataError where one is missing or two have one name.
    """
    members: dict[str, Path] = {}
    for path in paths:
        for name, file in _members_of(path):
            if name in members:
                raise DataError(f"Two files are called {shortened(name)}: rename one of them.")
            members[name] = file
    if len(members) > _MOST_MEMBERS:
        raise DataError(f"{len(members):,} files are too many: choose up to {_MOST_MEMBERS:,}.")
    if sum(file.stat().st_size for file in members.values()) > raw.MAX_FILE_MIB * raw.MIB:
        raise DataError(f"The files hold more than {raw.MAX_FILE_MIB} MiB: choose fewer.")
    try:
        with zipfile.ZipFile(target, "w") as archive:
            for name, file in sorted(members.items()):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), file.read_bytes())
    except BaseException:
        with suppress(OSError):
            target.unlink(missing_ok=True)
        raise
    return target


def _members_of(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_dir():
        for file in sorted(cast("Iterable[Path]", path.rglob("*"))):
            if file.is_file() and not file.is_symlink():
                yield str(PurePosixPath(path.name, *file.relative_to(path).parts)), file
    elif path.is_file():
        yield path.name, path
    else:
        raise DataError(f"There is no file {shortened(str(path), 200)}: check the path.")
