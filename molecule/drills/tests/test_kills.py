"""A daemon's run is killed at random moments; the next one ends with the right process.

The daemon is made up, so that every part of it is another one in each version: a program and an
archive that are downloaded, a file that it reads at its start, one that it reads at a reload, and
its unit. Its process answers with what it has in memory. Half of the kills hit the module's process
on the host, whose number is in the host's lock, and half the whole run on the controller.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab import ROOT, Run, kill_family, on, play, wait_for

HOST = "data"
UNIT = "drill.service"
PORT = 8129
# It is purged before every kill, so that APT is at work as well. It has a daemon that it must not
# start, and no host needs it.
PACKAGE = "prometheus-blackbox-exporter"
KILLS = int(os.environ.get("KILLS", "4"))
SEED = int(os.environ.get("SEED") or random.randrange(1 << 32))  # noqa: S311
PROGRAM = r"""#!/usr/bin/python3
# Version {version}.
import http.server, json, signal

def text(path):
    with open(path) as file:
        return file.read().strip()

memory = {{
    "program": "{version}",
    "archive": text("/opt/drill/version"),
    "start": text("/etc/drill/start"),
}}

def reload(*_arguments):
    memory["reload"] = text("/etc/drill/reload")

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(memory).encode())

reload()
signal.signal(signal.SIGHUP, reload)
http.server.HTTPServer(("127.0.0.1", {port}), Answer).serve_forever()
"""
UNIT_TEXT = """[Unit]
Description=Drill {version}

[Service]
Type=exec
ExecStart=/usr/local/bin/drill
ExecReload=/bin/kill -HUP $MAINPID

[Install]
WantedBy=multi-user.target
"""
ON_DISK = r"""
python3 - <<'PY'
import json, re
def text(path):
    with open(path) as file:
        return file.read().strip()
print(json.dumps({
    "program": re.search("Version (\\w+)", text("/usr/local/bin/drill"))[1],
    "archive": text("/opt/drill/version"),
    "start": text("/etc/drill/start"),
    "reload": text("/etc/drill/reload"),
}))
PY
"""
# What a run must not leave behind, wherever it was killed.
LEFTOVERS = r"""
find /etc /opt /usr/local /usr/sbin /var/lib/prsnl-ports -name '.prsnl-ports-*' 2>/dev/null
find /var/lib/prsnl-ports/undo -mindepth 1 2>/dev/null
ls /usr/sbin/policy-rc.d /var/lib/prsnl-ports/policy-rc.d 2>/dev/null
cat /run/prsnl-ports/lock
"""
DRILL = "/srv/drill"


def sha256(path: str) -> str:
    return "sha256:" + on(HOST, f"sha256sum {path}").split()[0]


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A play for each version of the daemon, whose downloads are files of the host."""
    folder = tmp_path_factory.mktemp("drill")
    plays = {}
    for version in ("A", "B"):
        program = PROGRAM.format(version=version, port=PORT)
        on(HOST, f"mkdir -p {DRILL} && cat > {DRILL}/drill-{version}", stdin=program)
        on(
            HOST,
            f"cd {DRILL} && rm -rf tree && mkdir -p tree/more && echo {version} > tree/version"
            " && dd if=/dev/urandom of=tree/more/much bs=64k count=20 status=none"
            " && chmod 666 tree/version && chown 1234 tree/version"
            f" && tar -C tree -czf drill-{version}.tar.gz . && rm -rf tree",
        )
        plays[version] = folder / f"{version}.yml"
        plays[version].write_text(yaml.safe_dump(the_play(version)))
    yield plays
    on(HOST, f"systemctl disable --now {UNIT}; rm -rf {DRILL} /opt/drill /etc/drill", check=False)
    on(HOST, f"dpkg --purge {PACKAGE}")
    files = [f"/etc/systemd/system/{UNIT}", f"/etc/systemd/system/{UNIT}.d", "/usr/local/bin/drill"]
    files += [f"/var/lib/prsnl-ports/{UNIT}.json", "/var/lib/prsnl-ports/installed/drill-*"]
    on(HOST, f"rm -rf {' '.join(files)}; systemctl daemon-reload")


def the_play(version: str) -> list[dict[str, Any]]:
    endpoint = {"id": "drill.http", "port": PORT, "protocol": "tcp", "listen": ["127.0.0.1"]}
    daemon = {
        "unit": UNIT,
        "packages": [PACKAGE],
        "downloads": [
            {
                "url": f"file://{DRILL}/drill-{version}",
                "checksum": sha256(f"{DRILL}/drill-{version}"),
                "path": "/usr/local/bin/drill",
            },
            {
                "url": f"file://{DRILL}/drill-{version}.tar.gz",
                "checksum": sha256(f"{DRILL}/drill-{version}.tar.gz"),
                "kind": "archive",
                "path": "/opt/drill",
            },
        ],
        "service_options": {"UMask": "0022" if version == "A" else "0027"},
        "endpoints": [endpoint],
        "files": [
            {"path": "/etc/drill/start", "content": f"{version}\n"},
            {"path": "/etc/drill/reload", "content": f"{version}\n", "applied_by": "reload"},
            {
                "path": f"/etc/systemd/system/{UNIT}",
                "content": UNIT_TEXT.format(version=version),
            },
        ],
        "timeout": 30,
    }
    tasks = [{"name": f"Run version {version}", "prsnl.ports.daemon": daemon}]
    return [{"hosts": HOST, "become": True, "gather_facts": False, "tasks": tasks}]


def memory() -> dict[str, str]:
    """What the daemon's process has."""
    url = f"http://127.0.0.1:{PORT}"
    script = f"import urllib.request as u; print(u.urlopen('{url}').read().decode())"
    answer: dict[str, str] = json.loads(on(HOST, f'python3 -c "{script}"'))
    return answer


def start(playbook: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["ansible-playbook", str(playbook), "-i", "inventories/lab"],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


# Waits for the process that takes the lock, and kills it a moment later.
KILLER = """
import json, os, signal, sys, time
wait, end = float(sys.argv[1]), time.monotonic() + 60
while time.monotonic() < end:
    try:
        with open("/run/prsnl-ports/lock") as file:
            pid = json.load(file)["process"]
        os.kill(pid, 0)
    except (OSError, ValueError, KeyError):
        time.sleep(0.002)
        continue
    time.sleep(wait)
    try:
        os.kill(pid, signal.SIGKILL)
        print("killed")
    except ProcessLookupError:
        print("late")
    break
"""


def kill_on_the_host(playbook: Path, wait: float) -> str:
    """Kill the module's process so many seconds after it has taken the lock."""
    with start(playbook) as run:
        said = on(HOST, f"python3 - {wait}", stdin=KILLER)
        run.communicate(timeout=300)
    return f"host, {wait:.3f} s after the lock: {said.strip()}, the run ended with {run.returncode}"


def kill_on_the_controller(playbook: Path, wait: float) -> str:
    """Kill the run and everything that it started, so many seconds after its start."""
    with start(playbook) as run:
        time.sleep(wait)
        ended = run.poll() is not None
        kill_family(run.pid)
    return f"controller, after {wait:.3f} s{' (it had ended)' if ended else ''}"


def succeed(playbook: Path) -> Run:
    run = play(playbook=str(playbook))
    assert run.code == 0, run.output
    return run


def test_a_run_that_is_killed_at_a_random_moment_is_made_good(
    versions: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(SEED)  # noqa: S311 - a seed repeats it
    told = [f"SEED={SEED} KILLS={KILLS}"]
    began = time.monotonic()
    succeed(versions["A"])
    duration = time.monotonic() - began
    wait_for(HOST, PORT)
    try:
        for number in range(KILLS):
            version = "BA"[number % 2]
            on(HOST, f"dpkg --purge {PACKAGE} 2>&1")
            if number % 4 < 2:
                how = kill_on_the_host(versions[version], rng.uniform(0, 0.6))
            else:
                how = kill_on_the_controller(versions[version], rng.uniform(0.4, 1.0) * duration)
            left = on(HOST, LEFTOVERS, check=False).count("\n")
            again = succeed(versions[version])
            wanted = dict.fromkeys(("program", "archive", "start", "reload"), version)
            found, disk = memory(), json.loads(on(HOST, ON_DISK))
            recovered = re.findall(
                r"was cut off, and (?:is completed|was taken back)", again.output
            )
            told.append(
                f"{number + 1:2} {version} {how}; it left {left} lines; the rerun changed"
                f" {again.recap(HOST)['changed']}, recovered {len(recovered)}"
            )
            assert (found, disk) == (wanted, wanted), told[-1]
            quiet = succeed(versions[version])
            assert quiet.recap(HOST)["changed"] == 0, f"{told[-1]}\n{quiet.output}"
            assert on(HOST, LEFTOVERS, check=False).strip() == "", told[-1]
            owner = on(HOST, "stat -c '%U:%G %a' /opt/drill/version").strip()
            assert owner == "root:root 644"
            state = on(HOST, f"systemctl is-active {PACKAGE}", check=False).strip()
            assert state == "inactive", "its package has started it"
    finally:
        with capsys.disabled():
            print("\n" + "\n".join(told))


def test_checksums_of_the_drill_are_those_of_its_program(versions: dict[str, Path]) -> None:
    """What is downloaded is what was put there; otherwise nothing above would mean anything."""
    for version, playbook in versions.items():
        program = PROGRAM.format(version=version, port=PORT).encode()
        assert hashlib.sha256(program).hexdigest() in playbook.read_text()
