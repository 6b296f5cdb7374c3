"""What the roles would do on a Mac: the arguments of each daemon, with Ansible's own templates.

The action `daemon` is replaced by one that writes its arguments down, and facts are those of a Mac.
So nothing is installed or started, and no Mac is proven: only that launchd would take each job.
"""

from __future__ import annotations

import json
import os
import pwd
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.launchd_keys import find_faults

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collections/ansible_collections/prsnl/ports"
RECORDER = """
import json, os
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        with open(os.environ["RECORD"], "a") as file:
            file.write(json.dumps(dict(self._task.args), default=str) + "\\n")
        return {"changed": False}
"""
FACTS = {
    "architecture": "arm64",
    "distribution": "MacOSX",
    "memtotal_mb": 16384,
    "os_family": "Darwin",
    "processor_nproc": 8,
    "service_mgr": "launchd",
    "system": "Darwin",
}
ARCHIVE = {"archive_url": "https://example.com/a.tar.gz", "archive_checksum": f"sha256:{'1' * 64}"}
VARIABLES = {
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
    **{
        f"{role}_{name}": value
        for role in ("backend", "frontend")
        for name, value in ARCHIVE.items()
    },
    "frontend_dev_directory": "/Users/ada/shop/frontend",
    "frontend_dev_user": "ada",
}
ROLES = ("postgresql", "backend", "frontend", "node_exporter", "prometheus")
PREFIX = "/opt/homebrew/"
pytestmark = pytest.mark.slow


def collection_with_recorder(folder: Path) -> Path:
    """The collection, of which one action is another."""
    place = folder / "ansible_collections/prsnl/ports"
    if place.exists():
        return folder
    (place / "plugins/action").mkdir(parents=True)
    for entry in COLLECTION.iterdir():
        if entry.name != "plugins":
            (place / entry.name).symlink_to(entry)
    for entry in (COLLECTION / "plugins").iterdir():
        if entry.name != "action":
            (place / "plugins" / entry.name).symlink_to(entry)
    for entry in (COLLECTION / "plugins/action").iterdir():
        if entry.name != "daemon.py":
            (place / "plugins/action" / entry.name).symlink_to(entry)
    (place / "plugins/action/daemon.py").write_text(RECORDER, encoding="utf-8")
    return folder


def play(
    folder: Path,
    roles: t.Sequence[str],
    options: t.Sequence[str] = ("--check",),
    **variables: t.Any,
) -> subprocess.CompletedProcess[str]:
    """Run roles on a Mac that is none; what they ask of `daemon` is in ``record``."""
    registry = (ROOT / "registry/ports.yml").read_text(encoding="utf-8")
    # So that a developer's Mac has what is optional there as well.
    registry = registry.replace(
        "environments: [production]", "environments: [development, production]"
    )
    (folder / "ports.yml").write_text(registry.replace("../docs", "docs"), encoding="utf-8")
    groups = (
        "application",
        "backend",
        "frontend",
        "database",
        "cache",
        "metrics",
        "search",
        "containers",
    )
    hosts = {group: {"hosts": {"mac": None}} for group in groups}
    inventory = {"all": {"children": hosts, "hosts": {"mac": None}}}
    (folder / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
    (folder / "play.yml").write_text(
        json.dumps(
            [
                {
                    "hosts": "all",
                    "gather_facts": False,
                    "pre_tasks": [{"ansible.builtin.set_fact": {**FACTS, "cacheable": True}}],
                    "tasks": [{"ansible.builtin.include_role": {"name": role}} for role in roles],
                }
            ]
        ),
        encoding="utf-8",
    )
    given = {
        **VARIABLES,
        "port_environment": "development",
        "port_system": "darwin",
        "port_addresses": ["192.0.2.10"],
        "secrets_dir": str(folder / "secrets"),
        **variables,
    }
    return subprocess.run(
        [
            Path(sys.executable).parent / "ansible-playbook",
            *options,
            "-i",
            folder / "hosts.json",
            "-e",
            json.dumps(given),
            folder / "play.yml",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(collection_with_recorder(folder)),
            "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
            "PORT_REGISTRY": str(folder / "ports.yml"),
            "RECORD": str(folder / "record"),
        },
    )


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, t.Any]]:
    """What each role asks for, by the label of the job."""
    folder = tmp_path_factory.mktemp("mac")
    done = play(folder, ROLES)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (folder / "record").read_text(encoding="utf-8").splitlines()
    return {made["unit"]: made for made in map(json.loads, lines)}


LABELS = (
    "prsnl.postgresql",
    "prsnl.backend",
    "prsnl.frontend",
    "prsnl.frontend.dev",
    "prsnl.node_exporter",
    "prsnl.prometheus",
)


def test_each_role_has_its_job(daemons: dict[str, dict[str, t.Any]]) -> None:
    assert sorted(daemons) == sorted(LABELS)


@pytest.mark.parametrize("label", LABELS)
def test_launchd_takes_the_job(daemons: dict[str, dict[str, t.Any]], label: str) -> None:
    options = daemons[label]["service_options"]
    assert find_faults({"Label": label, **options}) == []
    assert options["UserName"] not in ("", "root")
    assert options["KeepAlive"]
    assert options["StandardErrorPath"].startswith("/var/log/prsnl/")


@pytest.mark.parametrize("label", LABELS)
def test_root_runs_nothing_of_the_prefix_and_changes_nothing_there(
    daemons: dict[str, dict[str, t.Any]], label: str
) -> None:
    made = daemons[label]
    for file in made.get("files", []):
        assert not file["path"].startswith(PREFIX)
        validate = file.get("validate", "")
        if PREFIX in validate:
            assert f"/usr/bin/sudo -n -u {made['service_options']['UserName']} " in validate
    for step in made.get("prepare", []):
        command = " ".join(step["command"])
        assert "chown" not in command
        assert not step["creates"].startswith(PREFIX)
        if PREFIX in command:
            before = command.partition(PREFIX)[0]
            assert before.endswith(f"/usr/bin/sudo -n -u {made['service_options']['UserName']} ")
    assert all("/" not in package for package in made.get("packages", []))
    assert "brew" not in str(made).replace("homebrew", "")


@pytest.mark.parametrize("label", LABELS)
def test_programs_are_those_of_the_stable_links(
    daemons: dict[str, dict[str, t.Any]], label: str
) -> None:
    words = json.dumps(daemons[label]).split('"')
    named = [word for word in words if PREFIX in word]
    assert all(f"{PREFIX}opt/" in word or f"{PREFIX}bin" in word for word in named), named


def test_postgresql_has_checksums_and_a_folder_of_its_own(
    daemons: dict[str, dict[str, t.Any]],
) -> None:
    made = daemons["prsnl.postgresql"]
    initdb = made["prepare"][-1]["command"]
    assert "--data-checksums" in initdb
    assert f"{PREFIX}var" not in str(made)
    settings = next(f["content"] for f in made["files"] if f["path"].endswith("postgresql.conf"))
    assert "port = '5433'\n" in settings
    assert made["packages"] == ["postgresql@16"]


def test_secrets_are_in_files_and_not_in_jobs(daemons: dict[str, dict[str, t.Any]]) -> None:
    backend = daemons["prsnl.backend"]
    [file] = backend["files"]
    assert "DATABASE_URL=" in file["secret"]
    assert (file["mode"], file["owner"]) == ("0600", "_prsnl_backend")
    assert "postgresql://" not in str(backend["service_options"])


def test_the_development_server_listens_where_the_registry_says(
    daemons: dict[str, dict[str, t.Any]],
) -> None:
    job = daemons["prsnl.frontend.dev"]["service_options"]
    assert "--port 3004 --strictPort" in job["ProgramArguments"][2]
    assert "--host 127.0.0.1" in job["ProgramArguments"][2]
    assert (job["UserName"], job["WorkingDirectory"]) == ("ada", "/Users/ada/shop/frontend")


@pytest.mark.parametrize(
    ("role", "told"),
    [
        ("cadvisor", "cAdvisor reads cgroups, which a Mac has none of"),
        ("elasticsearch", "Homebrew has no Elasticsearch any more"),
        ("kibana", "Homebrew has no Kibana any more"),
    ],
)
def test_what_a_mac_cannot_run_is_refused_with_the_way(
    tmp_path: Path, role: str, told: str
) -> None:
    done = play(tmp_path, [role])
    assert done.returncode == 2
    assert told in " ".join(done.stdout.split())
    assert "place it on a Linux host in the registry" in " ".join(done.stdout.split())
    assert not (tmp_path / "record").exists()


def test_dragonfly_is_expected_in_a_container(tmp_path: Path) -> None:
    done = play(tmp_path, ["dragonfly"])
    told = " ".join(done.stdout.split())
    assert done.returncode == 2
    assert "no container dragonfly has 127.0.0.1:6379. DragonflyDB has no build for macOS" in told
    assert "--publish 127.0.0.1:6379:6379 " in told
    assert not (tmp_path / "record").exists()


def test_an_image_is_refused_with_the_way(tmp_path: Path) -> None:
    empty = {"backend_archive_url": "", "backend_archive_checksum": ""}
    done = play(
        tmp_path, ["backend"], **empty, backend_image=f"registry.example.com/a@sha256:{'1' * 64}"
    )
    assert "a Mac has no engine of its own that starts with it" in " ".join(done.stdout.split())


SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
USER = "postgres"


def is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


needs_postgresql = pytest.mark.skipif(
    os.geteuid() != 0 or not SERVERS or not is_user(USER),
    reason="PostgreSQL of Debian, its user and root start a real server",
)


class Server:
    """The job of PostgreSQL, as launchd would start it, with Linux' programs and places."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.folder = folder
        self.variables = {
            "__postgresql_programs": str(SERVERS[-1]),
            "__postgresql_user": USER,
            "__postgresql_parent": str(folder / "data"),
            "__postgresql_directory": str(folder / "etc"),
            "__postgresql_as_user": ["runuser", "-u", USER, "--"],
            "__postgresql_system_locale": "C.UTF-8",
        }
        done = play(folder, ["postgresql"], **self.variables)
        assert done.returncode == 0, done.stdout + done.stderr
        self.made = json.loads((folder / "record").read_text(encoding="utf-8").splitlines()[-1])

    def write(self) -> None:
        for file in self.made["files"]:
            path = Path(file["path"])
            path.parent.mkdir(exist_ok=True)
            path.write_text(file["content"], encoding="utf-8")
            if "validate" in file:
                command = file["validate"].replace("%s", file["path"])
                subprocess.run(shlex.split(command), check=True, timeout=60)

    def prepare(self) -> None:
        for step in self.made["prepare"]:
            if not Path(step["creates"]).exists():
                subprocess.run(step["command"], check=True, timeout=120, cwd="/")

    def start(self) -> subprocess.Popen[bytes]:
        job = self.made["service_options"]
        # In a network of its own, where nobody else has the port.
        command = ["unshare", "--net", "runuser", "-u", USER, "--", *job["ProgramArguments"]]
        log = (self.folder / "log").open("ab")
        return subprocess.Popen(
            command, stdout=log, stderr=log, cwd=job["WorkingDirectory"], start_new_session=True
        )

    @property
    def socket(self) -> Path:
        return self.folder / "data/run/.s.PGSQL.5433"

    def wait(self, *, is_there: bool) -> None:
        end = time.monotonic() + 60
        while self.socket.exists() != is_there:
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.1)


def shell_of(server: subprocess.Popen[bytes]) -> int:
    """The pid that launchd would know: that of the job's shell."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text(encoding="ascii")
    return int(children.split()[0])


@pytest.fixture
def open_folder() -> t.Iterator[Path]:
    """A folder that another user can enter; those of pytest are root's alone."""
    with tempfile.TemporaryDirectory(prefix="mac-") as folder:
        yield Path(folder)


@needs_postgresql
def test_the_job_runs_a_server_with_roles_and_databases(open_folder: Path) -> None:
    """A real PostgreSQL, if not the one of Homebrew."""
    tmp_path = open_folder
    server = Server(tmp_path)
    server.write()
    server.prepare()
    server.write()
    process = server.start()
    try:
        server.wait(is_there=True)
        changes = []
        for password in ("first-secret", "first-secret", "second-secret'\\"):
            roles = [{"name": "prsnl", "password": password}]
            done = play(tmp_path, ["postgresql"], (), **server.variables, postgresql_roles=roles)
            assert done.returncode == 0, done.stdout + done.stderr
            assert password not in done.stdout
            changes.append(done.stdout.rsplit("changed=", 1)[1].split()[0])
        assert changes == ["2", "0", "1"], "made, nothing to do, another password"
        os.kill(shell_of(process), signal.SIGHUP)
        os.kill(shell_of(process), signal.SIGTERM)
        assert process.wait(60) == 0, "it ends as after a fast shutdown, with a client or not"
        server.wait(is_there=False)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "received SIGHUP, reloading configuration files" in log
    assert "received fast shutdown request" in log
    assert "second-secret" not in log


@needs_postgresql
def test_a_simulated_launchd_runs_postgresql_by_the_real_code(open_folder: Path) -> None:
    """What the role asks for, done by `daemon`'s own code, from check mode to a moved port."""
    server = Server(open_folder)
    (open_folder / "task.json").write_text(json.dumps(server.made), encoding="utf-8")
    trial = ROOT / "tests/mac/simulated/trial.py"
    done = subprocess.run(
        ["unshare", "--net", sys.executable, trial, open_folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps = json.loads(done.stdout.splitlines()[-1])
    assert steps["check"]["changed"]
    assert steps["check"]["ports"] == []
    assert steps["first"]["actions"][-1] == "start"
    assert steps["first"]["ports"] == [5433]
    assert steps["second"] == {"changed": False, "actions": [], "ports": [5433]}
    assert "no_such_setting" in steps["bad"]["failed"]
    assert steps["bad"]["ports"] == [5433]
    assert steps["killed"] == {"ports": [5433]}
    assert steps["moved"]["actions"][-1] == "restart"
    assert steps["moved"]["ports"] == [15433]
    assert not steps["again"]["changed"]
