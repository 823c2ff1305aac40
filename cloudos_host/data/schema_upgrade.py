"""Bring a plugin's tables to its newest revision: Alembic, one version table for each plugin, one environment.

A plugin ships numbered files (`0001_initial.py`, revision "0001"); whether there is anything to do is seen from their
names and the version table, without importing Alembic. All pending steps of a plugin are one transaction.
"""

from __future__ import annotations

import importlib.resources
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text

from cloudos_host.data.file_modes import make_private, private_folder


class MigrationError(Exception):
    """The tables cannot be brought to the revision that the code needs."""


def version_table(plugin_id: str) -> str:
    """Return the name of the plugin's version table."""
    return f"{plugin_id.replace('-', '_')}_alembic_version"


def revisions(package: str) -> list[str]:
    """Return the revisions that a migrations package ships, oldest first."""
    names = (entry.name for entry in importlib.resources.files(package).iterdir())
    return sorted(name.split("_", 1)[0] for name in names if name[:1].isdigit() and name.endswith(".py"))


def applied(connection: Connection, plugin_id: str) -> str | None:
    """Return the applied revision of a plugin's tables, or None."""
    table = version_table(plugin_id)
    if not inspect(connection).has_table(table):
        return None
    row = connection.execute(text(f"SELECT version_num FROM {table}")).first()  # noqa: S608 - made from the plugin's id
    return str(row[0]) if row else None


def pending(connection: Connection, plugin_id: str, package: str) -> list[str]:
    """Return the pending revisions. Raises MigrationError if the tables are newer than the code."""
    shipped = revisions(package)
    current = applied(connection, plugin_id)
    if current is None:
        return shipped
    if current not in shipped:
        raise MigrationError(
            f"its tables are at revision {current}, which this version does not know (it knows up to {shipped[-1]});"
            " install a newer version of it, or restore a snapshot made before"
        )
    return shipped[shipped.index(current) + 1 :]


def upgrade(engine: Engine, plugin_id: str, package: str) -> None:
    """Apply all pending revisions of one plugin in one transaction."""
    with engine.connect() as connection, connection.begin():
        apply(connection, plugin_id, package)


def apply(connection: Connection, plugin_id: str, package: str) -> None:
    """Apply all pending revisions of one plugin in the transaction of a connection."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    folder = Path(str(importlib.resources.files(package)))
    script = ScriptDirectory(str(folder), version_locations=[str(folder)])

    def steps(revision: Any, context: Any) -> Any:
        return script._upgrade_revs("head", revision)

    with EnvironmentContext(Config(), script, fn=steps, destination_rev="head") as environment:
        environment.configure(
            connection=connection, version_table=version_table(plugin_id), transactional_ddl=False, render_as_batch=True
        )
        environment.run_migrations()


def snapshot(engine: Engine, folder: Path, now: datetime, keep: int = 5) -> Path | None:
    """Copy a SQLite database before a migration, keeping the newest few; None for a server database."""
    if engine.dialect.name != "sqlite":
        return None
    private_folder(folder)
    target, fresh = folder / f"before-{now:%Y%m%dT%H%M%S}.db", folder / "before.new"
    fresh.unlink(missing_ok=True)
    make_private(fresh)  # an empty file is what VACUUM takes too
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("VACUUM INTO ?", (str(fresh),))
    except Exception:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        raw.close()
    fresh.replace(target)  # half a snapshot, of a node that was killed, is none
    for old in sorted(folder.glob("before-*.db"))[:-keep]:
        old.unlink()
    return target
