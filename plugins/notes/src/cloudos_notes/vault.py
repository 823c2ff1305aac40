"""An archive of Markdown files: what is in one that somebody sent, and one as it is written.

Nothing is ever unpacked to a disk. What leads out of its folder, is encrypted, a link, or unpacks to more than is
allowed makes the whole archive refused, before any of it is read; what a file unpacks to is counted, not believed.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cloudos_sdk import InvalidRequest

from cloudos_notes.naming import folder_of

_UNSAFE = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]')
_LONGEST_NAME = 120
_ENTRY = b"PK\x01\x02"
_EARLIEST = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may be at most: entries, bytes of one note, bytes altogether."""

    notes: int
    note: int
    unpacked: int


@dataclass(frozen=True, slots=True)
class VaultFile:
    """A Markdown file of an archive; `problem` says why it has no text."""

    path: str
    folder: str
    stem: str
    text: str
    modified: datetime
    problem: str | None = None


class Vault:
    """The Markdown files of an archive. Raises InvalidRequest `archive_refused` where it is not what it should be."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._limits = limits
        if _entries(path) > 4 * limits.notes:  # before there is an object for each of them
            raise _refused(f"it has over {4 * limits.notes} entries")
        try:
            self._zip = zipfile.ZipFile(path)
        except Exception as error:
            raise _refused("it is no zip archive") from error
        self.notes: list[zipfile.ZipInfo] = []
        self.others: list[str] = []
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
            name = entry.filename.replace("\\", "/")
            if name.startswith("/") or re.match(r"[A-Za-z]:", name) or folder_of(name) is None:
                raise _refused(f"{name[:100]!r} leads out of its folder, or is no name")
            if entry.flag_bits & 0x1:
                raise _refused(f"{name[:100]!r} is encrypted")
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise _refused(f"{name[:100]!r} is a link")
            if entry.is_dir() or any(part.startswith((".", "__MACOSX")) for part in name.split("/")):
                continue
            if name in seen:
                self.repeated.append(name)
                continue
            seen.add(name)
            if name.lower().endswith((".md", ".markdown")):
                self.notes.append(entry)
            else:
                self.others.append(name)
        if len(self.notes) > self._limits.notes:
            raise _refused(f"it has over {self._limits.notes} notes")
        if sum(entry.file_size for entry in self.notes) > self._limits.unpacked:
            raise _refused(f"it unpacks to over {self._limits.unpacked} bytes")

    def read(self, entry: zipfile.ZipInfo) -> VaultFile:
        """Return one file; a damaged or too long one with its problem."""
        path = entry.filename.replace("\\", "/")
        folder, _, name = path.rpartition("/")
        text, problem = self._text(entry)
        stem = name.rsplit(".", 1)[0]
        return VaultFile(path, folder_of(folder) or "", stem, text, _modified(entry), problem)

    def _text(self, entry: zipfile.ZipInfo) -> tuple[str, str | None]:
        if entry.file_size > self._limits.note:
            return "", f"longer than {self._limits.note} bytes"
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # LZMA takes the memory it asks for
            return "", "packed in a way that is not read here"
        try:
            with self._zip.open(entry) as file:
                data = file.read(self._limits.note + 1)
            if len(data) > self._limits.note:
                return "", f"longer than {self._limits.note} bytes"
            text = data.decode()
        except UnicodeDecodeError:
            return "", "not UTF-8"
        except Exception:  # noqa: BLE001 - zipfile raises a dozen kinds, and each means this
            return "", "damaged, or packed in a way that is not read here"
        return (text, None) if "\0" not in text else ("", "not a text: it holds a NUL character")


class VaultWriter:
    """Writes an archive piece by piece, for an answer that is sent while it is made."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED, compresslevel=3)
        self._names: set[str] = set()

    def name(self, folder: str, title: str) -> str:
        """Return the name of a note's file without its ending: its title, as far as file systems allow, once."""
        stem = _UNSAFE.sub("-", title)[:_LONGEST_NAME].strip(" .") or "Untitled"
        path, number = f"{folder}/{stem}" if folder else stem, 1
        unique = path
        while unique.casefold() in self._names:
            number += 1
            unique = f"{path} ({number})"
        self._names.add(unique.casefold())
        return unique

    def add(self, path: str, text: str, modified: datetime) -> None:
        """Add a file."""
        time = modified.astimezone(UTC).timetuple()[:6]
        entry = zipfile.ZipInfo(path, max(time, _EARLIEST))
        entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        self._zip.writestr(entry, text.encode())

    def taken(self) -> bytes:
        """Return what was written since it was last taken."""
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


def batches(vault: Vault, size: int) -> Iterator[list[zipfile.ZipInfo]]:
    """Yield the notes of an archive, some at a time."""
    for at in range(0, len(vault.notes), size):
        yield vault.notes[at : at + size]


def _entries(path: Path) -> int:
    """Return how many entries an archive may have: how often the mark of one is in it."""
    count, rest = 0, b""
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            count += (rest + part).count(_ENTRY)
            rest = part[-len(_ENTRY) + 1 :]
    return count


def _modified(entry: zipfile.ZipInfo) -> datetime:
    try:
        return datetime(*entry.date_time, tzinfo=UTC)
    except ValueError:
        return datetime(*_EARLIEST, tzinfo=UTC)


def _refused(why: str) -> InvalidRequest:
    return InvalidRequest(f"The archive is refused: {why}.", code="archive_refused")
