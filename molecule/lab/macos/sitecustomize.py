"""Let Python on a lab host take it for a Mac: what it asks of its system, and what it starts.

Follows what CPython answers on macOS: ``os.uname``, ``sys.platform``. What it starts is recorded
(audit event ``subprocess.Popen``). Not modelled: everything else that differs in CPython, such as
``kqueue``, ``_scproxy`` beyond "no proxy", and the case of file names.
"""

from __future__ import annotations

import json
import os
import sys
import types
import typing as t

BASE = "/usr/local/simulated"
LOG = "/var/log/simulated/programs"

_linux = os.uname()
_facts = ("Darwin", _linux.nodename, "25.1.0", "Darwin Kernel Version 25.1.0: simulated", "arm64")
os.uname = lambda: os.uname_result(_facts)
sys.platform = "darwin"
sys.executable = f"{BASE}/python3"


def _dyld_find(name: str, *_arguments: object) -> str:
    raise ValueError(f"dylib {name} could not be found")


# Debian leaves out what looks for libraries there.
sys.modules["ctypes.macholib"] = types.ModuleType("ctypes.macholib")
sys.modules["ctypes.macholib.dyld"] = types.ModuleType("ctypes.macholib.dyld")
sys.modules["ctypes.macholib.dyld"].__dict__["dyld_find"] = _dyld_find
# urllib asks macOS for its proxies by this module, which is compiled there.
sys.modules["_scproxy"] = types.ModuleType("_scproxy")
sys.modules["_scproxy"].__dict__.update(_get_proxy_settings=dict, _get_proxies=dict)
# Children are programs of the host.
for _name in ("PYTHONPATH", "LD_PRELOAD"):
    os.environ.pop(_name, None)


def _record(event: str, arguments: tuple[t.Any, ...]) -> None:
    if event != "subprocess.Popen":
        return
    words = arguments[1]
    words = [words] if isinstance(words, (str, bytes)) else list(words)
    line = json.dumps([os.geteuid(), [os.fsdecode(word) for word in words]]) + "\n"
    try:
        handle = os.open(LOG, os.O_WRONLY | os.O_APPEND)
    except OSError:
        return
    os.write(handle, line.encode())
    os.close(handle)


sys.addaudithook(_record)
