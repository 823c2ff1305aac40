"""The dump commands of our templates, run on a real PostgreSQL: what is dumped while it is written to is read back."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from cloudos_apps.templates.catalog import own_templates
from components.ports import free_port

DUMPED = [
    (template.name, service.name)
    for template in own_templates().values()
    for service in template.services
    if service.dump is not None and "pg_dump" in " ".join(service.dump.command)
]


@pytest.fixture(scope="module")
def postgres():
    """Run a PostgreSQL of Debian's; return how to run a program as its user, and its environment."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs or os.geteuid() != 0:
        pytest.skip("no PostgreSQL for the tests: apt-get install -y postgresql, and run them as root")
    folder = Path(tempfile.mkdtemp(prefix="cos-pg-"))
    shutil.chown(folder, "postgres")
    path = f"{programs[-1]}:{os.environ['PATH']}"
    environ = {"PATH": path, "PGHOST": str(folder), "PGPORT": str(free_port())}

    def run(*words, **more):
        words = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--", *words]
        env = {**environ, **more.pop("env", {})}
        return subprocess.run(words, env=env, cwd=folder, check=True, capture_output=True, timeout=60, **more).stdout

    run("initdb", "-D", f"{folder}/data", "-U", "app", "--auth", "trust")
    options = f"-p {environ['PGPORT']} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run("pg_ctl", "-D", f"{folder}/data", "-l", f"{folder}/log", "-w", "-o", options, "start")
    yield run
    run("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
    shutil.rmtree(folder)


def test_the_templates_with_a_database_of_their_own_on_postgresql_are_dumped():
    assert {name for name, _ in DUMPED} >= {"nextcloud", "paperless-ngx", "miniflux", "wikijs"}


@pytest.mark.parametrize(("name", "service"), DUMPED)
def test_what_a_template_dumps_it_reads_back(postgres, name, service):
    template = own_templates()[name]
    dump = next(found.dump for found in template.services if found.name == service)
    first, second = f"a_{name}".replace("-", "_"), f"b_{name}".replace("-", "_")
    for database in (first, second):
        postgres("createdb", "-U", "app", database)
    sql = (
        "CREATE EXTENSION pg_trgm; CREATE TABLE t (id serial PRIMARY KEY, words text, data bytea);"
        "INSERT INTO t (words, data) SELECT 'läß '''|| i || E'\\n\\\\', decode(md5(i::text), 'hex')"
        " FROM generate_series(1, 2000) i; CREATE VIEW v AS SELECT count(*) FROM t;"
    )
    postgres("psql", "-q", "-v", "ON_ERROR_STOP=1", "-U", "app", "-d", first, "-c", sql)
    dumped = postgres(*dump.command, env={"POSTGRES_USER": "app", "POSTGRES_DB": first})
    postgres(*dump.restore, env={"POSTGRES_USER": "app", "POSTGRES_DB": second}, input=dumped)
    query = "SELECT md5(string_agg(t::text, '|' ORDER BY id)), (SELECT * FROM v), nextval('t_id_seq') FROM t"
    rows = [postgres("psql", "-At", "-U", "app", "-d", database, "-c", query) for database in (first, second)]
    assert rows[0] == rows[1] and b"2000|2001" in rows[0]
    with pytest.raises(subprocess.CalledProcessError):  # what is there already is no empty volume: it says so
        postgres(*dump.restore, env={"POSTGRES_USER": "app", "POSTGRES_DB": second}, input=dumped)
