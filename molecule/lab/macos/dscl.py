"""A simulated dscl, on the host's /etc/passwd and /etc/group.

Follows dscl(1): ``-read``, ``-list``, ``-create``, ``-search``, ``-passwd`` and ``-delete`` of the
local node. Not modelled: other nodes, GeneratedUID, passwords, and attributes that passwd(5) has no
place for, which are kept beside it.
"""

from __future__ import annotations

import pwd
import sys
from pathlib import Path

from common import fail, read_json, record, write_json

PASSWD = Path("/etc/passwd")
MORE = Path("/var/db/simulated/users.json")
PLACES = {"UniqueID": 2, "PrimaryGroupID": 3, "RealName": 4, "NFSHomeDirectory": 5, "UserShell": 6}
NOT_FOUND = "<dscl_cmd> DS Error: -14136 (eDSRecordNotFound)"
NO_KEY = "No such key: {}"


def rows() -> dict[str, list[str]]:
    lines = PASSWD.read_text(encoding="utf-8").splitlines()
    return {line.split(":")[0]: line.split(":") for line in lines if line}


def write(found: dict[str, list[str]]) -> None:
    staged = PASSWD.with_suffix(".new")
    staged.write_text("".join(":".join(row) + "\n" for row in found.values()), encoding="utf-8")
    staged.chmod(0o644)
    staged.rename(PASSWD)


def main() -> None:  # noqa: PLR0912 - one for each verb
    record("/usr/bin/dscl")
    _node, verb, path, *rest = sys.argv[1:]
    found, more = rows(), read_json(MORE)
    kind, _slash, name = path.strip("/").partition("/")
    if verb == "-list" and kind == "Users":
        # macOS has -2 for nobody.
        for user in found.values():
            uid = "-2" if user[0] == "nobody" else user[2]
            print(f"{user[0]:<32} {uid}" if rest else user[0])
    elif verb == "-list":
        print("wheel 0\nstaff 20")
    elif verb == "-search":
        return
    elif verb == "-read":
        if name not in found:
            fail(56, NOT_FOUND)
        for key in rest:
            place = PLACES.get(key)
            value = found[name][place] if place else more.get(name, {}).get(key)
            print(f"{key}: {value}" if value is not None else NO_KEY.format(key))
    elif verb == "-create":
        found.setdefault(name, [name, "*", "99", "99", "", "/var/empty", "/usr/bin/false"])
        if rest and rest[0] in PLACES:
            found[name][PLACES[rest[0]]] = rest[1] if len(rest) > 1 else ""
        elif rest:
            write_json(MORE, {**more, name: {**more.get(name, {}), rest[0]: " ".join(rest[1:])}})
        write(found)
        pwd.getpwnam(name)
    elif verb == "-delete":
        if found.pop(name, None) is None:
            fail(56, NOT_FOUND)
        write(found)
    elif verb != "-passwd":
        fail(64, f"simulated dscl: {verb} isn't modelled")


if __name__ == "__main__":
    main()
