"""Archives of Markdown files: reading uploaded ones, and writing.

Nothing is ever unpacked to a disk. What leads out of its folder, is encrypted, a link, or unpacks to more than is
allowed makes the whole archive refused, before any of it is read; what a file unpacks to is counted, not believed.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cloudos_sdk import InvalidRequest

from cloudos_notes.text.normalization import folder_of

_UNSAFE = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]')
_LONGEST_NAME = 120
_ENTRY = b"PK\x01\x02"
_READ = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # LZMA takes the memory it asks for
_PART = 1 << 20
_EARLIEST = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """The limits of an archive: entries, bytes of one note, total bytes."""

    notes: int
    note: int
    unpacked: int


@dataclass(frozen=True, slots=True)
class VaultFile:
    """A Markdown file of an archive; `problem` says why it has no text, `kept` whether it is an attachment then."""

    path: str
    folder: str
    text: str
    modified: datetime
    problem: str | None = None
    kept: bool = False


class Vault:
    """The files of an archive. Raises InvalidRequest `archive_refused` for an invalid archive."""

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        self._limits = limits
        if _entries(path) > 4 * limits.notes:  # before there is an object for each of them
            raise refused(f"it has over {4 * limits.notes} entries")
        try:
            self._zip = zipfile.ZipFile(path)
        except Exception as error:
            raise refused("it is no zip archive") from error
        self.notes: list[zipfile.ZipInfo] = []
        self.others: list[zipfile.ZipInfo] = []
        self.hidden: list[str] = []
        self.repeated: list[str] = []
        try:
            self._look()
        except BaseException:
            self._zip.close()
            raise

    def close(self) -> None:
        """Close the archive."""
        self._zip.close()

    def _look(self) -> None:
        seen: set[str] = set()
        for entry in self._zip.infolist():
            name = path_of(entry)
            if name.startswith("/") or re.match(r"[A-Za-z]:", name) or folder_of(name) is None:
                raise refused(f"{name[:100]!r} leads out of its folder, or is no name")
            if entry.flag_bits & 0x1:
                raise refused(f"{name[:100]!r} is encrypted")
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise refused(f"{name[:100]!r} is a link")
            if entry.is_dir():
                continue
            if any(part.startswith((".", "__MACOSX")) for part in name.split("/")):
                self.hidden.append(name)
                continue
            if name in seen:
                self.repeated.append(name)
                continue
            seen.add(name)
            if name.lower().endswith((".md", ".markdown")):
                self.notes.append(entry)
            else:
                self.others.append(entry)
        if len(self.notes) > self._limits.notes:
            raise refused(f"it has over {self._limits.notes} notes")
        if sum(entry.file_size for entry in (*self.notes, *self.others)) > self._limits.unpacked:
            raise refused(f"it unpacks to over {self._limits.unpacked} bytes")

    def read(self, entry: zipfile.ZipInfo) -> VaultFile:
        """Return one file; a damaged or too long one with its problem."""
        path = path_of(entry)
        folder = folder_of(path.rpartition("/")[0]) or ""
        try:
            return VaultFile(path, folder, self._text(entry), modified_of(entry))
        except _NoText as error:
            return VaultFile(path, folder, "", modified_of(entry), str(error), error.kept)

    def parts(self, entry: zipfile.ZipInfo, most: int) -> Iterator[bytes]:
        """Yield the bytes of a file. Raises ValueError if it is damaged or exceeds `most`."""
        if entry.compress_type not in _READ:
            raise ValueError("packed in a way that is not read here")
        total = 0
        try:
            with self._zip.open(entry) as file:
                while part := file.read(_PART):
                    total += len(part)
                    if total > most:
                        break
                    yield part
        except Exception as error:  # zipfile raises a dozen kinds, and each means this
            raise ValueError("damaged, or packed in a way that is not read here") from error
        if total > most:
            raise refused("it unpacks to more than it says")

    def _text(self, entry: zipfile.ZipInfo) -> str:
        if entry.file_size > self._limits.note:
            raise _NoText(f"longer than {self._limits.note} bytes", kept=True)
        if entry.compress_type not in _READ:
            raise _NoText("packed in a way that is not read here")
        try:
            with self._zip.open(entry) as file:
                data = file.read(self._limits.note + 1)
        except Exception:  # noqa: BLE001 - zipfile raises a dozen kinds, and each means this
            raise _NoText("damaged, or packed in a way that is not read here") from None
        if len(data) > self._limits.note:
            raise _NoText(f"longer than {self._limits.note} bytes")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise _NoText("not UTF-8", kept=True) from None
        if "\0" in text:
            raise _NoText("not a text: it holds a NUL character", kept=True)
        return text


class _NoText(Exception):
    """A Markdown file is not text; it becomes an attachment if `kept`."""

    def __init__(self, why: str, *, kept: bool = False) -> None:
        super().__init__(f"{why}; kept as an attachment" if kept else why)
        self.kept = kept


class VaultWriter:
    """Writes an archive piece by piece, for an answer that is sent while it is made."""

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED, compresslevel=3)
        self._taken = {path.casefold() for path in paths}
        self._added: set[str] = set()

    def place(self, path: str | None, folder: str, title: str) -> str:
        """Return the path of a note's file: the one it came by, else its title, as far as file systems allow, once."""
        if path is None or path in self._added:
            stem = _UNSAFE.sub("-", title)[:_LONGEST_NAME].strip(" .") or "Untitled"
            base, number = f"{folder}/{stem}" if folder else stem, 1
            path = f"{base}.md"
            while path.casefold() in self._taken:
                number += 1
                path = f"{base} ({number}).md"
        self._taken.add(path.casefold())
        self._added.add(path)
        return path

    def add(self, path: str, text: str, modified: datetime) -> None:
        """Add a file."""
        self._zip.writestr(_entry(path, modified), text.encode())

    def copy(self, path: str, parts: Iterator[bytes], modified: datetime) -> Iterator[bytes]:
        """Add a file in pieces; yield the archive bytes written meanwhile."""
        self._added.add(path)
        with self._zip.open(_entry(path, modified), "w", force_zip64=True) as file:
            for part in parts:
                file.write(part)
                yield self.taken()

    def taken(self) -> bytes:
        """Return the bytes written since the last call."""
        return self._sink.taken()

    def end(self) -> bytes:
        """Return the end of the archive."""
        self._zip.close()
        return self._sink.taken()


class _Sink(io.RawIOBase):
    """Takes bytes and gives them on; it cannot seek, so that the archive is written in one go."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload] # a buffer
        self._parts.append(part)
        return len(part)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def path_of(entry: zipfile.ZipInfo) -> str:
    """Return the path of a file, whose parts slashes are between."""
    return entry.filename.replace("\\", "/")


def _entry(path: str, modified: datetime) -> zipfile.ZipInfo:
    time = modified.astimezone(UTC).timetuple()[:6]
    entry = zipfile.ZipInfo(path, max(time, _EARLIEST))
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return entry


def _entries(path: Path) -> int:
    """Return how many entries an archive may have: how often the mark of one is in it."""
    count, rest = 0, b""
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            count += (rest + part).count(_ENTRY)
            rest = part[-len(_ENTRY) + 1 :]
    return count


def modified_of(entry: zipfile.ZipInfo) -> datetime:
    """Return the time of a file."""
    try:
        return datetime(*entry.date_time, tzinfo=UTC)
    except ValueError:
        return datetime(*_EARLIEST, tzinfo=UTC)


def refused(why: str) -> InvalidRequest:
    """Return the error of an archive that is not read at all."""
    return InvalidRequest(f"The archive is refused: {why}.", code="archive_refused")
