# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action executes to install missing parts, with the modules replaced."""

from __future__ import annotations

import inspect
import re
import typing as t
from unittest import mock

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible_collections.prsnl.ports.plugins.action import daemon as daemon_action
from ansible_collections.prsnl.ports.plugins.action.daemon import ActionModule
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.installers import INSTALLS
from ansible_collections.prsnl.ports.plugins.modules import daemon as daemon_module
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import locking, stock
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.confinement import OPTIONS

SOURCE = {
    "name": "vendor",
    "url": "https://example.com/apt",
    "suite": "stable",
    "key_url": "https://example.com/key.asc",
    "key_checksum": "sha256:" + "0" * 64,
}
MISSING = {"packages": ["shop"], "source": "absent", "downloads": [], "user": False, "tools": []}
KEY, APT, REPOSITORY, UNARCHIVE = (
    f"ansible.builtin.{name}" for name in ("get_url", "apt", "deb822_repository", "unarchive")
)
DAEMON = "prsnl.ports.daemon"


class Rig(t.NamedTuple):
    action: ActionModule
    # The modules and their arguments, in order.
    events: list[tuple[str, dict[str, t.Any]]]
    # What the next execution of a module answers, if it isn't success.
    answers: dict[str, list[dict[str, t.Any]]]
    # The environment of each execution.
    environments: list[t.Any]

    def run(self, missing: dict[str, t.Any], **arguments: t.Any) -> dict[str, t.Any]:
        staged = {url: f"/staged/{number}" for number, url in enumerate(missing["downloads"])}
        first = {"changed": False, "missing": missing, "actions": []}
        if any(missing.values()):
            first |= {"staged": staged, "token": "lease"}
        self.answers.setdefault(DAEMON, []).append(first)
        return self.task(**{"packages": ["shop"], "source": SOURCE, **arguments})

    def task(self, **arguments: t.Any) -> dict[str, t.Any]:
        self.action._task.args = arguments
        result: dict[str, t.Any] = self.action.run(task_vars={"inventory_hostname": "a"})
        return result

    @property
    def modules(self) -> list[str]:
        return [module for module, _arguments in self.events]

    @property
    def steps(self) -> list[str | None]:
        return [call.get("step") for module, call in self.events if module == DAEMON]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    task = mock.Mock(check_mode=False, environment=[{"http_proxy": "x"}], module_defaults=[])
    task.get_name.return_value = "Run the shop"
    templar = Templar(loader=DataLoader())
    rig = Rig(ActionModule(task, None, None, None, templar, None), [], {}, [])

    def execute(**call: t.Any) -> dict[str, t.Any]:
        rig.events.append((call["module_name"], call["module_args"]))
        rig.environments.append(task.environment)
        answers = rig.answers.get(call["module_name"])
        return dict(answers.pop(0)) if answers else {"changed": True, "actions": []}

    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    monkeypatch.setattr(rig.action, "_execute_module", execute)
    return rig


def test_package_lists_are_read_when_the_package_of_a_new_source_is_installed(rig: Rig) -> None:
    result = rig.run(MISSING, unit="shop.timer")
    assert rig.modules == [DAEMON, KEY, REPOSITORY, APT, DAEMON]
    assert rig.steps == [None, "fresh"]
    arguments = rig.events[3][1]
    assert (arguments["name"], arguments["update_cache"]) == (["shop"], True)
    assert result["actions"] == ["add the source of packages", "install shop"]
    repository = rig.events[2][1]
    assert repository["uris"] == ["https://example.com/apt"]
    assert repository["signed_by"] == rig.events[1][1]["dest"] == "/etc/apt/keyrings/vendor.asc"


def test_a_changed_source_is_read_though_the_package_is_there(rig: Rig) -> None:
    rig.run({**MISSING, "packages": [], "source": "other"}, unit="shop.timer")
    arguments = rig.events[3][1]
    assert (arguments["name"], arguments["update_cache"]) == ([], True)


def test_what_the_modules_need_is_installed_first(rig: Rig) -> None:
    rig.run({**MISSING, "tools": ["python3-debian"]}, unit="shop.timer")
    assert rig.modules == [DAEMON, KEY, APT, REPOSITORY, APT, DAEMON]
    assert rig.events[2][1]["name"] == ["python3-debian"]


def test_old_package_lists_are_read_before_a_second_try(rig: Rig) -> None:
    rig.answers[APT] = [{"failed": True, "msg": "no such package"}]
    rig.run({**MISSING, "source": ""}, unit="shop.timer")
    updates = [call[1].get("update_cache", False) for call in rig.events if call[0] == APT]
    assert updates == [False, True]


@pytest.mark.parametrize("source", ["absent", "other"])
def test_the_host_takes_back_what_an_installation_that_fails_has_left(
    rig: Rig, source: str
) -> None:
    """The source of packages among it, which may be the reason and would trouble all of APT."""
    rig.answers[APT] = [{"failed": True, "msg": "the source is broken"}]
    result = rig.run({**MISSING, "source": source}, unit="shop.timer")
    assert "the source is broken" in result["msg"]
    assert "Nothing was configured or started" in result["msg"]
    assert rig.modules.count(APT) == 1
    assert rig.steps == [None, "abandon"]


def test_programs_without_a_unit_are_settled_as_well(rig: Rig) -> None:
    result = rig.run(MISSING)
    assert rig.modules == [DAEMON, KEY, REPOSITORY, APT, DAEMON]
    assert result["diff"] == [
        {"prepared": "packages: add the source of packages and install shop\n"}
    ]
    assert result["changed"]
    rig.answers[KEY] = [{"failed": True, "msg": "404"}]
    assert "could not install shop: ansible.builtin.get_url: 404" in rig.run(MISSING)["msg"]


def test_an_archive_is_unpacked_where_the_host_says(rig: Rig) -> None:
    url = "https://example.com/shop.tar.gz"
    archive = {"url": url, "checksum": "sha256:" + "1" * 64, "kind": "archive", "path": "/opt/shop"}
    missing = {**MISSING, "packages": [], "source": "", "downloads": [url]}
    rig.run(missing, unit="shop.timer", downloads=[archive], source=None)
    assert rig.modules == [DAEMON, KEY, UNARCHIVE, DAEMON]
    assert rig.events[2][1]["dest"] == "/staged/0"
    assert rig.events[2][1]["remote_src"] is True
    assert rig.events[1][1]["dest"].endswith("/1111111111111111-shop.tar.gz")


def test_a_single_file_goes_where_the_host_says(rig: Rig) -> None:
    url = "https://example.com/shop"
    file = {"url": url, "checksum": "sha256:" + "1" * 64, "path": "/usr/local/bin/shop"}
    missing = {**MISSING, "packages": [], "source": "", "downloads": [url]}
    rig.run(missing, unit="shop.timer", downloads=[file], source=None)
    assert rig.modules == [DAEMON, KEY, DAEMON]
    assert rig.events[1][1]["dest"] == "/staged/0"


def test_a_host_makes_the_controller_install_nothing_else_than_the_task_says(rig: Rig) -> None:
    strange = {
        "packages": ["shop", "rootkit"],
        "source": "absent",
        "downloads": ["https://example.net/x"],
        "user": True,
        "tools": ["rootkit"],
    }
    rig.run(strange, unit="shop.timer")
    names = [call[1]["name"] for call in rig.events if call[0] == APT]
    assert names == [["python3-debian"], ["shop"]]
    assert [call[1]["url"] for call in rig.events if call[0] == KEY] == [SOURCE["key_url"]]
    assert "ansible.builtin.user" not in rig.modules


def test_nothing_but_what_is_installed_here_is_kept_from_starting(rig: Rig) -> None:
    rig.run(MISSING, unit="shop.timer")
    own = [{"http_proxy": "x"}]
    assert rig.environments == [own, *([[*own, {INSTALLS: "1"}]] * 3), own]
    assert all("policy_rc_d" not in call for _module, call in rig.events)


def test_whether_it_changed_is_what_the_modules_say(rig: Rig) -> None:
    """APT may have the last word on what a name means; then nothing restarts either."""
    rig.answers[APT] = [{"changed": False}]
    rig.answers[DAEMON] = []
    missing = {**MISSING, "source": ""}
    rig.answers[DAEMON].append(
        {"changed": False, "missing": missing, "actions": [], "staged": {}, "token": "lease"}
    )
    rig.answers[DAEMON].append({"changed": False, "actions": []})
    result = rig.task(packages=["shop"], unit="shop.timer")
    assert rig.steps == [None, "settle"]
    assert not result["changed"]
    assert result["actions"] == []


def test_the_steps_belong_together_by_the_lease(rig: Rig) -> None:
    rig.run(MISSING, unit="shop.timer")
    locks = [call["lock"] for module, call in rig.events if module == DAEMON]
    assert [lock["token"] for lock in locks] == ["", "lease"]
    assert {lock["task"] for lock in locks} == {"Run the shop"}
    assert locks[0]["pid"] > 0
    assert locks[0]["place"] == locking.place()


def test_warnings_of_the_modules_are_passed_on(rig: Rig) -> None:
    rig.answers[APT] = [{"changed": True, "warnings": ["old lists"], "deprecations": ["d"]}]
    result = rig.run({**MISSING, "source": ""}, unit="shop.timer")
    assert result["warnings"] == ["old lists"]
    assert result["deprecations"] == ["d"]
    rig.answers[APT] = [{"failed": True, "msg": "x", "warnings": ["y"]}] * 2
    assert rig.run({**MISSING, "source": ""}, unit="shop.timer")["warnings"] == ["y"]


def test_module_defaults_of_the_user_hold_except_for_what_the_task_says() -> None:
    """By Ansible's own code, as for its own actions."""
    task = mock.Mock(environment=None)
    task.module_defaults = [
        {"ansible.builtin.apt": {"lock_timeout": 7, "install_recommends": True, "name": ["other"]}}
    ]
    task._parent._play._action_groups = {}
    action = mock.Mock(_task=task, _templar=Templar(loader=DataLoader()))
    action._execute_module.return_value = {"changed": False}
    modules = stock.StockModules(action, {}, {})
    modules.execute(APT, {"name": ["shop"]}, {"install_recommends": False}, {})
    assert action._execute_module.call_args.kwargs["module_args"] == {
        "name": ["shop"],
        "lock_timeout": 7,
        "install_recommends": True,
    }
    assert task.environment is None


@pytest.mark.parametrize("name", ["service_options", "options"])
def test_a_service_is_confined_unless_it_says_no(rig: Rig, name: str) -> None:
    def sent(**arguments: t.Any) -> t.Any:
        rig.events.clear()
        rig.answers[DAEMON] = [{"changed": False, "missing": {}, "actions": []}]
        rig.task(**arguments)
        assert "options" not in rig.events[0][1]
        return rig.events[0][1].get("service_options")

    own = {name: {"MemoryDenyWriteExecute": False}}
    found = sent(unit="shop.service", **own)
    assert found.items() >= {**OPTIONS, "MemoryDenyWriteExecute": False}.items()
    assert found["RestrictAddressFamilies"][-2:] == ["AF_INET", "AF_INET6"]
    for no in (False, "no"):
        found = sent(unit="shop.service", confinement=no, **own)
        assert found == {"MemoryDenyWriteExecute": False}
        assert sent(unit="shop.service", confinement=no) is None
    assert sent(unit="shop.timer", **own) == {"MemoryDenyWriteExecute": False}


def test_both_names_of_the_options_are_refused(rig: Rig) -> None:
    with pytest.raises(AnsibleActionFail, match="another name of service_options"):
        rig.task(unit="shop.service", options={}, service_options={})


@pytest.mark.parametrize("name", ["lock", "step"])
def test_what_the_action_sets_cannot_be_given(rig: Rig, name: str) -> None:
    with pytest.raises(AnsibleActionFail, match=f"{name} is set by the action"):
        rig.task(unit="shop.service", **{name: "x"})


def test_the_documentation_has_every_option_that_confines() -> None:
    documented = yaml.safe_load(daemon_module.DOCUMENTATION)["options"]["confinement"]
    found = set(re.findall(r"C\((\w+)=([^)]*)\)", " ".join(documented["description"])))

    def written(value: t.Any) -> str:
        words = value if isinstance(value, list) else [value]
        return " ".join(str(w).lower() if isinstance(w, bool) else w for w in words)

    assert found == {(name, written(value)) for name, value in OPTIONS.items()}


def test_programs_may_confine_themselves() -> None:
    # "@system-service" of systemd 252 has no such call, and Elasticsearch insists on it:
    # libs/native/.../LinuxNativeAccess.java accepts ENOSYS and EINVAL only.
    assert OPTIONS["SystemCallErrorNumber"] == "EPERM"
    assert {"@system-service", "seccomp"} <= set(OPTIONS["SystemCallFilter"])


def test_nothing_of_ansible_is_overridden_but_run() -> None:
    def functions(of: type) -> list[str]:
        found = [name for name, value in vars(of).items() if inspect.isfunction(value)]
        return [name for name in found if not name.startswith("__")]

    assert functions(ActionModule) == ["run"]
    assert functions(daemon_module.QuietModule) == ["log"]


def several(*answers: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    return [{"unit": f"{number}.timer", "actions": [], **a} for number, a in enumerate(answers)]


def test_daemons_that_need_nothing_are_one_execution(rig: Rig) -> None:
    done = several({"changed": False}, {"changed": True, "actions": ["restart"]})
    rig.answers[DAEMON] = [{"changed": True, "daemons": done}]
    result = rig.task(daemons=[{"unit": "0.timer"}, {"unit": "1.timer"}])
    assert rig.modules == [DAEMON]
    assert [entry["changed"] for entry in result["daemons"]] == [False, True]
    assert result["changed"]
    assert result["diff"] == [{"prepared": "1.timer: restart\n"}]


def test_one_of_several_daemons_is_installed_before_the_next(rig: Rig) -> None:
    missing = {**MISSING, "source": ""}
    stuck = {"changed": False, "missing": missing, "staged": {}}
    rig.answers[DAEMON] = [
        {"changed": False, "token": "lease", "daemons": several({"changed": False}, stuck)},
        {"changed": True, "actions": ["start"]},
        {"changed": False, "daemons": [{"unit": "2.timer", "changed": False, "actions": []}]},
    ]
    names = ["0.timer", "1.timer", "2.timer"]
    result = rig.task(daemons=[{"unit": name, "packages": ["shop"]} for name in names])
    assert rig.modules == [DAEMON, APT, DAEMON, DAEMON]
    assert rig.events[2][1]["unit"] == "1.timer"
    assert [daemon["unit"] for daemon in rig.events[3][1]["daemons"]] == ["2.timer"]
    assert rig.events[3][1]["lock"]["token"] == ""
    assert [entry["unit"] for entry in result["daemons"]] == names
    assert result["daemons"][1]["actions"] == ["install shop", "start"]


def test_a_daemon_that_fails_names_those_before_it(rig: Rig) -> None:
    rig.answers[DAEMON] = [
        {"failed": True, "msg": "broken", "daemons": several({"changed": True})},
    ]
    result = rig.task(daemons=[{"unit": "0.timer"}, {"unit": "1.timer"}])
    assert result["failed"]
    assert [entry["unit"] for entry in result["daemons"]] == ["0.timer"]


def test_the_action_is_where_the_tests_think() -> None:
    assert daemon_action.MODULE == DAEMON


BREW = "community.general.homebrew"


class Become:
    """A become plugin, as far as its user goes."""

    def __init__(self) -> None:
        self.user = "root"

    def get_option(self, name: str) -> str:
        assert name == "become_user"
        return self.user

    def set_option(self, name: str, value: str) -> None:
        assert name == "become_user"
        self.user = value


def on_a_mac(rig: Rig, become: Become | None, owner: str = "ada") -> dict[str, t.Any]:
    rig.action._connection = mock.Mock(become=become)
    found = {**MISSING, "source": "", "user": True}
    first = {"changed": False, "missing": found, "actions": [], "staged": {}, "token": "lease"}
    rig.answers[DAEMON] = [{**first, "installer": {"homebrew": owner}}]
    return rig.task(unit="prsnl.shop", packages=["shop"], user="_shop")


def test_the_owner_of_the_prefix_installs_on_a_mac(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    become = Become()
    users = []
    execute = rig.action._execute_module

    def watch(**call: t.Any) -> dict[str, t.Any]:
        users.append((call["module_name"], become.user))
        return dict(execute(**call))

    monkeypatch.setattr(rig.action, "_execute_module", watch)
    assert on_a_mac(rig, become)["changed"]
    assert users == [
        (DAEMON, "root"),
        ("ansible.builtin.user", "root"),
        (BREW, "ada"),
        (DAEMON, "root"),
    ]
    assert "HOMEBREW_NO_AUTO_UPDATE" in str(rig.environments[2])
    assert "options" not in rig.events[0][1], "systemd's confinement isn't launchd's"


def test_a_failed_installation_leaves_the_user_as_it_was(rig: Rig) -> None:
    become = Become()
    rig.answers[BREW] = [{"failed": True, "msg": "no bottle"}] * 2
    result = on_a_mac(rig, become)
    assert "community.general.homebrew: no bottle" in result["msg"]
    assert become.user == "root"
    tries = [call.get("update_homebrew") for name, call in rig.events if name == BREW]
    assert tries == [None, True]
    assert rig.steps[-1] == "abandon"


@pytest.mark.parametrize(
    ("become", "owner", "told"),
    [
        (None, "ada", "the task has no become"),
        (Become(), "a; rm -rf /", "which can't be one"),
        (Become(), "-c", "which can't be one"),
    ],
)
def test_what_cannot_be_executed_is_taken_back(
    rig: Rig, become: Become | None, owner: str, told: str
) -> None:
    result = on_a_mac(rig, become, owner)
    assert told in result["msg"]
    assert rig.steps[-1] == "abandon"
    assert BREW not in rig.modules
