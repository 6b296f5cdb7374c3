"""Redis, of Debian, becomes DragonflyDB with all that it has; or stays, with all that it has."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from lab import REGISTRY, ROOT, Run, on, play
from moving import ARGUMENTS, INVENTORY

PLAYBOOK = "playbooks/replace_redis.yml"
SOURCES = (*INVENTORY[:2], "molecule/moves/inventory/cache.yml", *INVENTORY[2:])
HOST, PORT = "data", 6379
EACH = int(os.environ.get("MOVES_KEYS", "100000")) // 8
CLIENT = ROOT / "roles/replace_redis/module_utils/redis_replacement/client.py"
FILL = f"""
with Client("127.0.0.1", {PORT}) as c:
    each, day = {EACH}, 86_400_000
    c.all(("SET", f"string:{{n}}", f"value {{n}}") for n in range(each))
    c.all(("SET", f"ends:{{n}}", "soon", "PX", day + n) for n in range(each))
    c.all(("RPUSH", f"list:{{n}}", "a", "b", n) for n in range(each))
    c.all(("SADD", f"set:{{n}}", "a", bytes([n % 256]), n) for n in range(each))
    c.all(("HSET", f"hash:{{n}}", "a", n, b"\\xff", "") for n in range(each))
    c.all(("ZADD", f"zset:{{n}}", n / 7, "a", "-inf", "b") for n in range(each))
    c.all(("XADD", f"stream:{{n}}", "1-1", "field", n) for n in range(each))
    c.all(("PEXPIRE", f"hash:{{n}}", 2 * day) for n in range(0, each, 2))
    c.select(3)
    c.all(("SET", f"other:{{n}}", n) for n in range(each))
    c.select(0)
    c("XGROUP", "CREATE", "stream:1", "workers", "0")
    c("XREADGROUP", "GROUP", "workers", "ada", "STREAMS", "stream:1", ">")
"""
# Of whoever has the port; TLS and a password where it is DragonflyDB.
ASK = """
import re, ssl, subprocess, sys
conf = open("/etc/dragonfly/dragonfly.conf").read() if {dragonfly} else ""
found = re.search(r"^--requirepass=(.*)$", conf, re.MULTILINE)
with Client("127.0.0.1", {port}, found[1] if found else "", tls=bool(conf)) as c:
    sizes = []
    for database in (0, 3):
        c.select(database)
        sizes.append(c("DBSIZE"))
    c.select(0)
    pending = c("XPENDING", "stream:1", "workers")[0]
    print(*sizes, c("GET", "string:7").decode(), c("PTTL", "hash:8") > 10**8, pending)
"""
EXPECTED = f"{7 * EACH} {EACH} value 7 True 1"
# Writes into DragonflyDB as soon as it is there, whatever its port is.
TAMPER = """
import re, subprocess, time
end = time.monotonic() + 300
while time.monotonic() < end:
    try:
        conf = open("/etc/dragonfly/dragonfly.conf").read()
        port = int(re.search(r"^--port=(\\d+)$", conf, re.MULTILINE)[1])
        password = re.search(r"^--requirepass=(.*)$", conf, re.MULTILINE)[1]
        with Client("127.0.0.1", port, password, tls=True, timeout=5) as c:
            while True:
                c("SET", "string:7", "tampered")
                time.sleep(0.05)
    except Exception:
        time.sleep(0.2)
"""


def replace(*arguments: str) -> Run:
    """Run the playbook on this scenario's hosts."""
    return play(*arguments, *ARGUMENTS, playbook=PLAYBOOK, registry=REGISTRY, inventory=SOURCES)


def talk(script: str, command: str = "python3 -") -> str:
    """Run a script on the host that has the client."""
    return on(HOST, command, stdin=f"{CLIENT.read_text()}\n{script}").strip()


def state(*, dragonfly: bool) -> str:
    return talk(ASK.format(dragonfly=dragonfly, port=PORT))


def active(unit: str) -> bool:
    return on(HOST, f"systemctl is-active {unit}", check=False).strip() == "active"


@pytest.fixture(scope="module", autouse=True)
def redis() -> Iterator[None]:
    """Debian's Redis with keys of all types, half of them in a stream of pipelines."""
    install = "DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends"
    on(HOST, f"apt-get update -q && {install} redis-server && systemctl enable --now redis-server")
    talk(FILL)
    assert state(dragonfly=False) == EXPECTED
    yield
    on(HOST, "systemctl disable --now redis-server 2>&1")


def test_what_dragonfly_has_not_is_refused_before_anything_changes() -> None:
    talk(f'Client("127.0.0.1", {PORT})("CONFIG", "SET", "appendonly", "yes")')
    try:
        refused = replace()
    finally:
        talk(f'Client("127.0.0.1", {PORT})("CONFIG", "SET", "appendonly", "no")')
    assert refused.code != 0
    assert "its appendonly is 'yes': DragonflyDB keeps snapshots only" in refused.output
    assert refused.recap(HOST)["changed"] == 0
    assert active("redis-server")
    assert state(dragonfly=False) == EXPECTED


def test_the_plan_is_told_and_nothing_else_happens() -> None:
    plan = replace("--check")
    assert plan.code == 0, plan.output
    assert (
        f"DragonflyDB takes the place of Redis 7.0.15 on {HOST}, with {8 * EACH} keys"
        in plan.output
    )
    assert "3. switch" in plan.output
    assert plan.recap(HOST)["changed"] == 0
    assert active("redis-server")


def test_a_tampered_import_is_found_and_taken_back() -> None:
    script = "cat > /run/tamper.py; systemd-run --quiet --unit=tamper python3 /run/tamper.py"
    talk(TAMPER, script)
    try:
        failed = replace()
    finally:
        on(HOST, "systemctl stop tamper; rm -f /run/tamper.py")
    assert failed.code != 0
    assert re.search(
        r"what was copied differs: b'string:7' of database 0: its content", failed.output
    ), failed.output
    assert active("redis-server")
    assert not active("dragonfly")
    assert on(HOST, "systemctl is-enabled redis-server dragonfly", check=False).split() == [
        "enabled",
        "disabled",
    ]
    assert state(dragonfly=False) == EXPECTED
    talk(f'Client("127.0.0.1", {PORT}, timeout=5)("SET", "string:7", "value 7")')


def test_everything_arrives(capsys: pytest.CaptureFixture[str]) -> None:
    done = replace()
    assert done.code == 0, done.output
    output = " ".join(done.output.split())
    copied = re.search(r"(\d+) keys were copied, and (\d+) of them compared", output)
    assert copied, done.output
    assert [int(number) for number in copied.groups()] == [8 * EACH, 8 * EACH]
    assert not active("redis-server")
    assert active("dragonfly")
    assert state(dragonfly=True) == EXPECTED
    verify = play(
        "--limit",
        HOST,
        *ARGUMENTS,
        playbook="playbooks/verify.yml",
        registry=REGISTRY,
        inventory=SOURCES,
    )
    assert verify.code == 0, verify.output
    again = replace()
    assert again.code == 0, again.output
    assert "Nothing is done" in again.output
    with capsys.disabled():
        print(f"\nreplaced: {copied[0]}")
