"""An inventory's own lines of pg_hba.conf, and what is in a database, by a real PostgreSQL."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lab import Run, address_of, on, play, port_of, secret

RULES = "/etc/prsnl-ports/postgresql/16-main/pg_hba.conf"
SETTINGS = "/etc/prsnl-ports/postgresql/16-main/settings.conf"
VARIABLES: dict[str, Any] = {
    "postgresql_roles": [
        {"name": "prsnl"},
        {"name": "auditor"},
        {"name": "standby", "attributes": "LOGIN,REPLICATION"},
    ],
    "postgresql_databases": [
        {
            "name": "prsnl",
            "owner": "prsnl",
            "schemas": [{"name": "audit"}, {"name": 'Odd "one"', "owner": "auditor"}],
            "extensions": [{"name": "pg_trgm"}, {"name": "hstore", "schema": "audit"}],
            "privileges": [
                {"roles": ["auditor"], "privileges": ["USAGE"], "on": "schema"},
                {"roles": ["auditor"], "privileges": ["SELECT"], "future": True},
                {"roles": ["auditor"], "privileges": ["all"], "on": "sequence"},
                {"roles": ["auditor"], "privileges": ["EXECUTE"], "on": "function"},
                {"roles": ["auditor"], "privileges": ["CONNECT"], "on": "database"},
            ],
        }
    ],
}
ASK = """
import json, sys
import psycopg2, psycopg2.extras
conninfo, query, physical = json.load(sys.stdin)
try:
    if physical:
        kind = psycopg2.extras.PhysicalReplicationConnection
        cursor = psycopg2.connect(conninfo, connection_factory=kind).cursor()
    else:
        cursor = psycopg2.connect(conninfo).cursor()
    cursor.execute(query)
    print(cursor.fetchall())
except psycopg2.Error as error:
    print(error)
"""


def entries() -> list[dict[str, Any]]:
    return [
        {
            "databases": ["prsnl"],
            "users": ["auditor"],
            "consumers": ["backend"],
            "method": "scram-sha-256",
            "comment": "Audit",
        },
        {
            "databases": ["replication"],
            "users": ["standby"],
            "addresses": [address_of("app"), "10.99.0.0/24"],
            "method": "scram-sha-256",
        },
    ]


def provision(*words: str, **variables: Any) -> Run:
    return play(
        "--limit=data",
        "--tags=postgresql",
        *words,
        "--extra-vars",
        json.dumps(variables),
        playbook="playbooks/services.yml",
    )


def ask(user: str, query: str, *, physical: bool = False, tls: str = "verify-full") -> str:
    """What the server answers a role that comes from the host `app`."""
    password = secret(f"postgresql-{user}.password")
    words = {
        "host": address_of("data"),
        "port": port_of("postgresql.sql"),
        "dbname": "prsnl",
        "user": user,
        "password": password,
        "sslmode": tls,
        "sslrootcert": "/etc/ssl/prsnl-authority.pem",
    }
    conninfo = " ".join(f"{name}={value}" for name, value in words.items())
    return on("app", f"python3 -c '{ASK}'", stdin=json.dumps([conninfo, query, physical]))


def sql(statement: str) -> str:
    """What a superuser is answered on the host."""
    port = port_of("postgresql.sql")
    command = f"runuser -u postgres -- psql -h /run/postgresql -p {port} -d prsnl -XAt -f -"
    return on("data", f"cd /; {command}", stdin=statement).strip()


@pytest.fixture(scope="module", autouse=True)
def converged() -> Run:
    """The database has a table of its application before anybody may read it."""
    sql("SET ROLE prsnl; CREATE TABLE IF NOT EXISTS notes (text text);")
    looked = provision("--check", "--diff", postgresql_hba_entries=entries(), **VARIABLES)
    assert looked.code == 0, looked.output
    assert "prsnl: CREATE EXTENSION pg_trgm" in looked.output
    assert sql("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'") == "0"
    run = provision(postgresql_hba_entries=entries(), **VARIABLES)
    assert run.code == 0, run.output
    again = provision(postgresql_hba_entries=entries(), **VARIABLES)
    assert again.recap("data")["changed"] == 0, again.output
    return run


def test_an_address_without_a_consumer_is_reported(converged: Run) -> None:
    told = "postgresql_hba_entries has 10.99.0.0/24, and the port registry lets nobody come"
    assert told in " ".join(converged.output.split())


def test_who_is_named_comes_in_and_nobody_else() -> None:
    assert ask("auditor", "SELECT current_user") == "[('auditor',)]\n"
    assert "no encryption" in ask("auditor", "SELECT 1", tls="disable")
    assert "pg_hba.conf rejects" in ask("standby", "SELECT 1")
    # As a standby would: what pg_receivewal asks first.
    assert ask("standby", "IDENTIFY_SYSTEM", physical=True).startswith("[('")
    assert "pg_hba.conf rejects" in ask("auditor", "IDENTIFY_SYSTEM", physical=True)


def test_what_is_in_the_database() -> None:
    schemas = "SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname ~ '[Ou]d'"
    assert set(sql(schemas).splitlines()) == {"audit|prsnl", 'Odd "one"|auditor'}
    extensions = "SELECT extname, extnamespace::regnamespace FROM pg_extension"
    assert {"pg_trgm|public", "hstore|audit"} <= set(sql(extensions).splitlines())
    assert ask("auditor", "SELECT count(*) FROM notes") == "[(0,)]\n"
    assert "permission denied" in ask("auditor", "INSERT INTO notes VALUES (1) RETURNING 1")
    # What the application makes later, and nobody grants again.
    sql("SET ROLE prsnl; CREATE TABLE IF NOT EXISTS later (n int);")
    assert ask("auditor", "SELECT count(*) FROM later") == "[(0,)]\n"
    assert provision(postgresql_hba_entries=entries(), **VARIABLES).recap("data")["changed"] == 0


def test_what_opens_more_than_it_says_is_refused() -> None:
    before = on("data", f"sha256sum {RULES}")
    wrong = ({"addresses": ["0.0.0.0/0"]}, {"method": "trust"}, {"type": "host"})
    bad = [{**entries()[1], **entry} for entry in wrong]
    run = provision(postgresql_hba_entries=bad, **VARIABLES)
    assert run.code != 0
    told = run.failure("data")
    assert "postgresql_hba_entries[0].addresses: found 0.0.0.0/0, which is everybody" in told
    assert "postgresql_hba_entries[1].method: found trust, which asks nobody" in told
    assert "postgresql_hba_entries[2].type: found host, which lets other hosts come without" in told
    assert on("data", f"sha256sum {RULES}") == before


def test_an_extension_that_nothing_brings_is_named() -> None:
    database = {**VARIABLES["postgresql_databases"][0], "extensions": [{"name": "vector"}]}
    run = provision(**{**VARIABLES, "postgresql_databases": [database]})
    assert run.code != 0
    assert "this PostgreSQL has no extension vector of prsnl" in run.failure("data")


def test_what_was_edited_by_hand_is_named_before_it_is_replaced() -> None:
    on("data", f"echo 'host all all 10.66.0.0/16 trust' >> {RULES}")
    on("data", f"echo \"work_mem = '99MB'\" >> {SETTINGS}")
    for words in (("--check",), ()):
        run = provision(*words, postgresql_hba_entries=entries(), **VARIABLES)
        assert run.code == 0, run.output
        told = " ".join(run.output.split())
        assert f"{RULES} was edited by hand since it was rendered" in told
        assert "(host all all 10.66.0.0/16 trust)" in told
        assert "(work_mem = '99MB')" in told
    assert "10.66" not in on("data", f"cat {RULES}")
    assert sql("SHOW work_mem") != "99MB"


def test_without_entries_nobody_else_comes_in() -> None:
    run = provision(**VARIABLES)
    assert run.code == 0, run.output
    assert "pg_hba.conf rejects" in ask("auditor", "SELECT 1")
