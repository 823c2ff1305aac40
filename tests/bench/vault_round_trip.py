"""A vault of 10,000 files in and out byte for byte, in times of what zipfile takes to write it."""

from __future__ import annotations

import io
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

from cloudos_notes.storage.tables import NoteSelection
from cloudos_notes.vault.exporter import Exporter
from cloudos_notes.vault.importer import Importer

from cloudos_host.config import Config, HostSettings
from cloudos_host.host import Host
from cloudos_host.plugins.discovery import discover, given
from tests.bench.load import report
from tests.bench.notes_store import OWNER, Authenticator, FakeAuthenticator, Prose, providing

FILES, TITLES = 10_000, 3_000


async def main():
    """Print the ratios, or end where a file is not what it was."""
    files, data, bare = vault()
    with tempfile.TemporaryDirectory() as folder:
        config = Config(HostSettings(data_dir=Path(folder), required=()), {}, "the bench")
        found = [found for found in discover() if found.id == "notes"]
        host = Host(config, found=[*found, given("fake_sign_in", providing(Authenticator, FakeAuthenticator()))])
        await host.boot()
        try:
            context = next(record for record in host.records if record.id == "notes").context
            importer = context.use(Importer)
            path = importer._folder / "bench.zip"
            path.parent.mkdir(parents=True)
            path.write_bytes(data)
            start = time.perf_counter()
            input = {"owner": OWNER, "file": path.name, "folder": "", "existing": "update"}
            outcome = await importer.run(SimpleNamespace(input=input, progress=quiet))
            took = time.perf_counter() - start
            start = time.perf_counter()
            parts = [part async for part in context.use(Exporter).export(NoteSelection(owner=OWNER, archived=True))]
            back = time.perf_counter() - start
        finally:
            await host.shutdown()
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as archive:
        differ = [name for name, text in files.items() if archive.read(name).decode() != text]
        if differ or len(archive.namelist()) != FILES or outcome["created"] != FILES:
            sys.exit(f"{len(differ)} files differ, {len(archive.namelist())} came out, {outcome}")
    report("an import, in times of zipfile's writing", took / bare, "byte for byte", f"{took:.1f} s", f"{bare:.2f} s")
    report("an export, in times of zipfile's writing", back / bare, "byte for byte", f"{back:.1f} s", f"{bare:.2f} s")


async def quiet(*_said, **_more):
    """Hear of progress."""


def vault():
    """Return files of which many have one title, the archive of them, and how long zipfile took for it."""
    prose, files = Prose(3), {}
    for at in range(FILES):
        draft = prose.draft(at)
        front = f"---\ntitle: Title {at % TITLES}\n---\n" if at % 3 else ""
        files[f"d{at % 40}/Note{' ' * (at % 4)}{at}.md"] = f"{front}{draft.content}\n"
    start, sink = time.perf_counter(), io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return files, sink.getvalue(), time.perf_counter() - start
