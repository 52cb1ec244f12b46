"""A file's bytes: opened, unzipped where it is gzipped, and bounded. Knows no format."""

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

from core.datasets.readers import raw
from core.errors import DataError

GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
PARQUET = b"PAR1"
_MAGIC = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an office document of the old kind (.xls, .doc)",
    b"SQLite format 3": "an SQLite database",
}
_BINARY = {ZIP: "a zip archive or an office document", PARQUET: "a Parquet file"}
_CHOOSE = "choose a JSON, JSONL, CSV, Parquet or Excel (.xlsx) file"


class _Bounded(io.RawIOBase):
    """A stream of bytes that ends in a DataError where it is damaged or longer than it may be."""

    def __init__(self, stream: BinaryIO, most: int, refusal: str, name: str) -> None:
        self._stream, self._left, self._refusal, self._name = stream, most, refusal, name

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Read some bytes into ``buffer`` and return how many."""
        try:
            chunk = self._stream.read(len(buffer))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{self._name} is a damaged gzip file: make it again.") from error
        self._left -= len(chunk)
        if self._left < 0:
            raise DataError(self._refusal)
        buffer[: len(chunk)] = chunk
        return len(chunk)


class Source:
    """A file or an archive's member, whose bytes can be read from the start again and again."""

    def __init__(self, file: BinaryIO, name: str, size: int) -> None:
        """Read ``file``, which can seek; ``size`` is its length as it lies there."""
        self.name = name
        self._file, self._size = file, size

    def stream(self) -> io.BufferedReader:
        """Return the bytes from the start, unzipped where they are gzipped, as far as is allowed."""
        limit = raw.MAX_FILE_MIB * raw.MIB
        refusal = (
            f"{self.name} holds more than {raw.MAX_FILE_MIB} MiB when unzipped: split it into "
            "smaller files."
        )
        stream = self._file
        stream.seek(0)
        if stream.read(2) == GZIP:
            allowed = max(raw.UNSUSPICIOUS_MIB * raw.MIB, raw.EXPANDS_AT_MOST * self._size)
            if allowed < limit:
                limit = allowed
                refusal = (
                    f"{self.name} grows to more than {raw.EXPANDS_AT_MOST} times its size when "
                    "unzipped, as no text does: unzip it first."
                )
            stream = cast("BinaryIO", gzip.GzipFile(fileobj=self._file))
        self._file.seek(0)
        bounded: Any = _Bounded(stream, limit, refusal, self.name)
        return io.BufferedReader(bounded, raw.MIB)

    def start(self) -> bytes:
        """Return the first bytes, unzipped. Raises DataError for what is gzipped twice."""
        start = self.stream().peek(4096)[:4096]
        if start.startswith(GZIP):
            raise DataError(f"{self.name} is gzipped twice: unzip it once.")
        return start

    def seekable(self) -> BinaryIO:
        """Return the bytes as a file that can seek, as formats with an index at their end need.

        A gzipped one is unzipped into memory, within the bounds of a document.
        """
        self._file.seek(0)
        is_gzipped = self._file.read(2) == GZIP
        self._file.seek(0)
        if not is_gzipped:
            return self._file
        content = self.stream().read(raw.MAX_DOCUMENT_MIB * raw.MIB + 1)
        if len(content) > raw.MAX_DOCUMENT_MIB * raw.MIB:
            raise DataError(
                f"{self.name} holds more than {raw.MAX_DOCUMENT_MIB} MiB when unzipped: unzip it."
            )
        return io.BytesIO(content)


def check_is_text(start: bytes, name: str) -> None:
    """Raise DataError, naming what it is, for a file that begins as no text does."""
    for magic, what in (_MAGIC | _BINARY).items():
        if start.startswith(magic):
            raise DataError(f"{name} is {what}, not text: {_CHOOSE}.")


def not_text(name: str) -> DataError:
    """Return the refusal of a file that is no text."""
    return DataError(f"{name} is not text: {_CHOOSE}.")


def check_size(path: Path) -> None:
    """Raise DataError for a file that is larger than may be read."""
    if path.stat().st_size > raw.MAX_FILE_MIB * raw.MIB:
        raise DataError(
            f"{path.name} is larger than {raw.MAX_FILE_MIB} MiB: split it into smaller files."
        )
