"""Bytes become text: UTF-8, or another encoding that is found and said aloud."""

import codecs
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from core.datasets.readers import raw
from core.datasets.readers.raw import Content
from core.datasets.readers.source import Source, check_is_text, not_text
from core.errors import DataError

if TYPE_CHECKING:
    from charset_normalizer import CharsetMatch

MAX_LINE_MIB = 64
_MARKS = (  # of the longest first, for UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# what is not ASCII, with some of what stands around it
_TELLING = re.compile(
    rb"[\x20-\x7e]{0,40}[\x80-\xff](?:[\x20-\x7e]{0,40}[\x80-\xff])*[\x20-\x7e]{0,40}"
)
_TELLING_BYTES = 2**16
_SAMPLE_BYTES = 2**18  # before and after the first byte that is no UTF-8
# what spreadsheets and editors save; the first wins where several read a text alike
_LIKELY = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp932", "gb18030",
           "big5", "cp949", "koi8_r", "mac_roman"]  # fmt: skip
_TITLES = {
    "cp1252": "Windows-1252 (Latin-1)",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 without its mark",
    "utf-16-be": "UTF-16 without its mark",
    "utf-32": "UTF-32",
    "cp932": "Shift-JIS",
}


class Text:
    """A source as text in one encoding, from the start as often as it is asked for."""

    def __init__(self, source: Source, encoding: str) -> None:
        """Read ``source``, which is in ``encoding``."""
        self.name, self._source, self._encoding = source.name, source, encoding

    def stream(self) -> io.TextIOWrapper:
        """Return the text with its ends of lines as they are, and without a byte-order mark."""
        return io.TextIOWrapper(self._source.stream(), encoding=self._encoding, newline="")

    def start(self) -> list[str]:
        """Return the lines of the first million characters that say something, the last perhaps cut."""
        return [
            line for line in self.stream().read(raw.MIB).split("\n") if line.strip("\ufeff \t\r")
        ]

    def lines(self) -> Iterator[str]:
        """Yield the lines, each without its end. Raises DataError for one without end."""
        longest = MAX_LINE_MIB * raw.MIB
        stream = io.TextIOWrapper(self._source.stream(), encoding=self._encoding, newline="\n")
        number = 0
        while line := stream.readline(longest + 1):
            number += 1
            if len(line) > longest:
                raise DataError(
                    f"{self.name} has a line of more than {MAX_LINE_MIB} MiB (line {number}): "
                    "write one row on each line."
                )
            yield line.removesuffix("\n").removesuffix("\r")

    def document(self) -> str:
        """Return the whole text. Raises DataError where that would take too much memory."""
        content = self._source.stream().read(raw.MAX_DOCUMENT_MIB * raw.MIB + 1)
        if len(content) > raw.MAX_DOCUMENT_MIB * raw.MIB:
            raise DataError(
                f"{self.name} is one JSON document of more than {raw.MAX_DOCUMENT_MIB} MiB: save "
                "it as JSON lines (.jsonl)."
            )
        if content.count(b"[") + content.count(b"{") > raw.MAX_CONTAINERS:
            raise _too_many(self.name)
        if content.count(b",") > raw.MAX_VALUES:
            raise _too_many(self.name)
        text = content.decode(self._encoding)
        if not text or text.isspace():
            raise DataError(f"{self.name} is empty: choose a file with at least one row.")
        return text


def _too_many(name: str) -> DataError:
    return DataError(
        f"{name} holds more than {raw.MAX_CONTAINERS:,} lists and objects: split it into smaller "
        "files."
    )


def read_text(source: Source, parse: Callable[[Text], Content]) -> Content:
    """Return what ``parse`` makes of a source's text, in UTF-8 or the encoding that it is in.

    Raises DataError for what is no text in any encoding. Which one was found stands in the notes.
    """
    start = source.start()
    check_is_text(start, source.name)
    encoding = _marked(start) or _unmarked_utf16(start)
    if encoding is None and b"\0" in start:
        raise not_text(source.name)
    try:
        content = parse(Text(source, encoding or "utf-8-sig"))
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise not_text(source.name) from error
        encoding = _guessed(source)
        try:
            content = parse(Text(source, encoding))
        except UnicodeDecodeError as second:
            raise not_text(source.name) from second
    if encoding is None:
        return content
    title = _TITLES.get(encoding, encoding)
    note = f"it is no UTF-8 and was read as {title}: look at its accents before you train"
    return replace(content, notes=(note, *content.notes))


def _marked(start: bytes) -> str | None:
    return next((name for mark, name in _MARKS if start.startswith(mark)), None)


def _unmarked_utf16(start: bytes) -> str | None:
    """Return the byte order of UTF-16 without a mark: of plain text nearly every second byte is 0."""
    pairs = len(start) // 2
    if pairs < 8:
        return None
    for name, zeros, others in (("utf-16-le", start[1::2], start[::2]),
                                ("utf-16-be", start[::2], start[1::2])):  # fmt: skip
        if zeros.count(0) > 0.6 * pairs and others.count(0) == 0:
            return name
    return None


def _guessed(source: Source) -> str:
    """Return the encoding of a text that is no UTF-8, by what it says around the first such byte.

    Raises DataError where none makes sense of it.
    """
    from charset_normalizer import from_bytes

    sample = _around_first_fault(source)
    if b"\0" in sample:
        raise not_text(source.name)
    # plain letters are the same in all of them, and would outvote the few that tell
    telling = b"\n".join(found.group() for found in _TELLING.finditer(sample))
    matches = from_bytes(telling[:_TELLING_BYTES], cp_isolation=_LIKELY, threshold=0.4)
    likely = min(matches, key=_order, default=None)
    if likely is None:
        raise DataError(
            f"{source.name} is not UTF-8 text, and its encoding cannot be told: save it as UTF-8."
        )
    # where others read the same of it, the most usual one is meant
    alike = {likely.encoding, *likely.could_be_from_charset}
    return next(name for name in _LIKELY if name in alike)


def _order(match: "CharsetMatch") -> tuple[float, float, int]:
    """Return what the likelier encoding is less by: disorder, then strangeness to any language, and
    where these are alike how seldom it is.
    """
    return round(match.chaos, 2), -round(match.coherence, 1), _LIKELY.index(match.encoding)


def _around_first_fault(source: Source) -> bytes:
    """Return the bytes on both sides of the first one that is no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    stream, before = source.stream(), b""
    while chunk := stream.read(_SAMPLE_BYTES):
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError:
            return before + chunk + stream.read(_SAMPLE_BYTES)
        before = chunk
    return before
