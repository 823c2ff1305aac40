"""`cloudos db move`: all tables of a node into an empty database, of the other kind or of the same.

Tables and rows are one transaction of the target, which is committed once every row was read back and compared:
whatever ends it before leaves the target as empty as it was. The source is read in one snapshot and never written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
from cloudos_sdk.models import DERIVED
from sqlalchemy import JSON, URL, Column, Connection, Engine, Table, func, insert, inspect, make_url, null, select
from sqlalchemy import text as sql
from sqlalchemy.exc import SQLAlchemyError

from cloudos_host.cli.cli_context import examine
from cloudos_host.config import Config, ConfigError
from cloudos_host.data import schema_upgrade
from cloudos_host.data.database import make_engine, sqlite_url
from cloudos_host.data.database_lock import DatabaseLock
from cloudos_host.data.models import Base
from cloudos_host.host import Host
from cloudos_host.node import HostError

_BATCH = 1000
_SAID_EACH = 50  # batches
_BITS = 128


@dataclasses.dataclass(frozen=True)
class PathOwner:
    """The host or a plugin whose tables move."""

    id: str
    package: str
    tables: list[Table]


@dataclasses.dataclass(frozen=True)
class DatabaseContent:
    """How many rows a table has, and a checksum that knows no order."""

    rows: int
    checksum: int


def move(config: Config, to: str, say: Callable[[str], None]) -> str:
    """Copy the node's database into the empty one at `to`; return which setting to change.

    The host must not run. Raises HostError.
    """
    target = _target_url(to)
    host, owners = _owners(config)
    if not host.node.folder.exists():
        raise HostError(f"{host.node.folder} holds no node; name another with --data-dir")
    place = target.render_as_string(hide_password=True)
    with _errors_of(host.node.place), ExitStack() as stack:
        stack.callback(host.node.release_lock)
        host.node.take_lock()
        host.open()
        host.db.write_engine.dispose()
        source = stack.enter_context(_reading(host.db.url))
        moving = list(_moving(source, owners))
        for name in _left_behind(source, moving):
            say(f"{name} stays behind: it is of no plugin that is installed")
        with _errors_of(place):
            connection = stack.enter_context(_writing(host, target, place))
            rows = _copy(source, connection, moving, say)
    say(f"{rows} rows are in {place}, each compared with the source, which is as it was")
    if _is_default(host, target):
        return "now take host.database_url out of the settings (CLOUDOS_HOST__DATABASE_URL too), and start the node"
    return (
        f"now set host.database_url (CLOUDOS_HOST__DATABASE_URL, or database_url in [host]) to {place}"
        f"{', with its password' if target.password else ''}, and start the node"
    )


def _target_url(to: str) -> URL:
    try:
        url = make_url(to)
        if url.get_backend_name() not in ("sqlite", "postgresql"):
            raise HostError(
                f"{url.get_backend_name()} is no database of a node; --to takes sqlite:/// or postgresql+psycopg://"
            )
        url.get_dialect().import_dbapi()
    except ImportError:
        raise HostError(
            "--to needs a driver that is not installed; write postgresql+psycopg://… and"
            " `pip install 'cloudos-host[postgresql]'`"
        ) from None
    except SQLAlchemyError:
        raise HostError(
            f"--to {to!r} is no URL of a database; write sqlite:////path/to/file or"
            " postgresql+psycopg://user:password@host/database"
        ) from None
    return url


def _owners(config: Config) -> tuple[Host, list[PathOwner]]:
    """Return the records that have tables: the host and all plugins, disabled ones too, so that no rows stay behind."""
    every = dataclasses.replace(config, host=config.host.model_copy(update={"disabled": ()}))
    host, loader = examine(every)
    owners = [PathOwner("host", "cloudos_host.migrations", Base.metadata.sorted_tables)]
    for record in host.records:
        try:
            if record.reason is not None:
                raise ConfigError(record.reason)
            loader.examine(record)
        except (Exception, SystemExit) as error:  # plugin code; without it its tables are not known
            raise HostError(f"the tables of {record.id} are not known: {error}; mend or uninstall it first") from error
        manifest = record.manifest
        if manifest is not None and manifest.tables is not None and manifest.migrations is not None:
            owners.append(PathOwner(record.id, manifest.migrations, manifest.tables.metadata.sorted_tables))
    return host, owners


def _moving(source: Connection, owners: Iterable[PathOwner]) -> Iterator[PathOwner]:
    """Yield the records that have tables in the source. Raises HostError if the tables do not match the code."""
    for owner in owners:
        if schema_upgrade.applied(source, owner.id) is None:
            continue  # installed and never started: its first start makes them
        try:
            pending = schema_upgrade.pending(source, owner.id, owner.package)
        except schema_upgrade.MigrationError as error:
            raise HostError(f"{owner.id}: {error}") from None
        if pending:
            raise HostError(f"the tables of {owner.id} are not up to date; run `cloudos db upgrade` first")
        yield owner


def _left_behind(source: Connection, owners: Iterable[PathOwner]) -> list[str]:
    prefixes = tuple(f"{owner.id.replace('-', '_')}_" for owner in owners)
    return [name for name in sorted(inspect(source).get_table_names()) if not name.startswith(prefixes)]


@contextmanager
def _reading(url: str) -> Iterator[Connection]:
    """Open one snapshot of the source."""
    engine = make_engine(url, writes=False, size=1)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _writing(host: Host, target: URL, place: str) -> Iterator[Connection]:
    """Open the target exclusively and commit at the end. Raises HostError if it is not empty."""
    url = target.render_as_string(hide_password=False)
    lock = DatabaseLock(url, host.log)
    if not _is_default(host, target) and not lock.take():  # the default is under the folder's lock
        raise HostError(f"another host ({lock.holder}) uses the database {place}; stop it first")
    engine: Engine | None = None
    try:
        engine = make_engine(url, writes=True, size=1)
        with engine.connect() as connection, connection.begin():
            there = inspect(connection).get_table_names()
            if there:
                raise HostError(f"the database {place} is not empty (it has the table {there[0]}); name an empty one")
            yield connection
    finally:
        if engine is not None:
            engine.dispose()
        lock.release()


def _copy(source: Connection, target: Connection, owners: list[PathOwner], say: Callable[[str], None]) -> int:
    for owner in owners:
        schema_upgrade.apply(target, owner.id, owner.package)
    for table in itertools.chain.from_iterable(reversed(owner.tables) for owner in owners):
        target.execute(table.delete())  # what a migration put there; the source has it or has deleted it
    rows = 0
    for table in itertools.chain.from_iterable(owner.tables for owner in owners):
        content = _copy_table(source, target, table, say)
        if _content(_batches(target, table)) != content:
            raise HostError(f"the rows of {table.name} are not read back as they were written; nothing was moved")
        _set_sequence(source, target, table)
        say(f"{table.name}: {content.rows} rows, checksum {content.checksum:032x}")
        rows += content.rows
    return rows


def _copy_table(source: Connection, target: Connection, table: Table, say: Callable[[str], None]) -> DatabaseContent:
    total = source.execute(select(func.count()).select_from(table)).scalar_one()
    nullable = [column.name for column in _moved(table) if column.nullable and isinstance(column.type, JSON)]

    def copied() -> Iterator[list[dict[str, Any]]]:
        for number, batch in enumerate(_batches(source, table), 1):
            target.execute(insert(table), [_with_nulls(row, nullable) for row in batch])
            if number % _SAID_EACH == 0:
                say(f"{table.name}: {number * _BATCH} of {total} rows")
            yield batch

    return _content(copied())


def _moved(table: Table) -> list[Column[Any]]:
    """Return the columns that move; a derived one is filled by its plugin."""
    return [column for column in table.columns if not column.info.get(DERIVED) and column.computed is None]


def _with_nulls(row: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return a row with SQL NULL in JSON columns whose value is None."""
    return {**row, **{name: null() for name in names if row[name] is None}} if names else row


def _batches(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    statement = select(*_moved(table)).order_by(*table.primary_key.columns)
    with connection.execute(statement, execution_options={"yield_per": _BATCH}) as result:
        for partition in result.mappings().partitions():
            yield [dict(row) for row in partition]


def _content(batches: Iterable[list[dict[str, Any]]]) -> DatabaseContent:
    rows = checksum = 0
    for batch in batches:
        rows += len(batch)
        for row in batch:
            digest = hashlib.blake2b(repr([_plain(value) for value in row.values()]).encode(), digest_size=_BITS // 8)
            checksum += int.from_bytes(digest.digest(), "big")
    return DatabaseContent(rows, checksum % (1 << _BITS))


def _plain(value: Any) -> Any:
    """Return a value as both kinds of databases give it."""
    if isinstance(value, datetime):
        return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    if isinstance(value, dict | list):
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return bytes(value) if isinstance(value, memoryview | bytearray) else value


def _set_sequence(source: Connection, target: Connection, table: Table) -> None:
    """Set PostgreSQL's sequence to the highest number that was used, even if its row was deleted."""
    column = table.autoincrement_column
    if column is None or target.dialect.name != "postgresql":
        return
    name = _sequence(target, column)
    if name is None:
        return
    highest = target.execute(select(func.max(column))).scalar()
    before = _sequence(source, column) if source.dialect.name == "postgresql" else None
    if before is not None:
        given = source.execute(sql(f"SELECT last_value FROM {before} WHERE is_called")).scalar()  # noqa: S608 - from the server
        highest = max(highest or 0, given or 0) or None
    if highest is not None:
        target.execute(select(func.setval(name, highest)))


def _sequence(connection: Connection, column: Column[Any]) -> str | None:
    name = connection.execute(select(func.pg_get_serial_sequence(column.table.name, column.name))).scalar()
    return str(name) if name is not None else None


def _is_default(host: Host, target: URL) -> bool:
    return target.render_as_string(hide_password=False) == sqlite_url(host.node.folder / "cloudos.db")


@contextmanager
def _errors_of(place: str) -> Iterator[None]:
    """Say of an error of a database in one line whose it is."""
    try:
        yield
    except (OSError, SQLAlchemyError) as error:
        said = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
        raise HostError(f"{place}: {said[0]}; nothing was moved") from error
