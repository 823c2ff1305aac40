"""A copy of the node's database while it is in use: SQLite's own online copy, PostgreSQL's dump."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from cloudos_sdk import CloudOSError, Context
from sqlalchemy import URL

SQLITE, POSTGRESQL = "cloudos.db", "postgresql.sql"
_PAGES = 2000  # that are copied at a time, so that a stop is not waited for


class DatabaseNotCopied(CloudOSError):
    """502: the database could not be copied; the message says what is missing."""

    status = 502

    def __init__(self, why: str) -> None:
        super().__init__("database_not_copied", why)


async def copy_database(ctx: Context, folder: Path) -> Path:
    """Write a copy of the database as it is now into a folder; return the file."""
    url = await ctx.db.read(lambda session: session.connection().engine.url)
    if ctx.db.dialect == "sqlite":
        return await asyncio.to_thread(_copy_sqlite, str(url.database), folder / SQLITE)
    return await _dump_postgresql(url, folder / POSTGRESQL)


def _copy_sqlite(source: str, target: Path) -> Path:
    target.touch(mode=0o600)
    with (
        contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=10)) as database,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        database.execute("BEGIN")
        database.backup(copy, pages=_PAGES, sleep=0)
        found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise DatabaseNotCopied(f"The copy of the database is not sound: {found}")
    return target


def postgresql_access(url: URL) -> tuple[list[str], Mapping[str, str]]:
    """Return the options of PostgreSQL's programs for a database, and their environment, which has the password."""
    options = [
        *(["--host", url.host] if url.host else []),
        *(["--port", str(url.port)] if url.port else []),
        *(["--username", url.username] if url.username else []),
    ]
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    return options, environment


async def _dump_postgresql(url: URL, target: Path) -> Path:
    options, environment = postgresql_access(url)
    words = ["pg_dump", *options, "--no-owner", "--no-privileges", "--file", str(target), "--dbname", str(url.database)]
    try:
        process = await asyncio.create_subprocess_exec(
            *words, env=environment, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        raise DatabaseNotCopied(
            "There is no pg_dump on this machine. Install it (Debian: apt-get install postgresql-client)."
        ) from None
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise DatabaseNotCopied(f"pg_dump failed: {said.decode(errors='replace').strip()[-300:]}")
    return target
