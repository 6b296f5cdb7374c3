# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may be in the property list of a job of launchd. Pure.

launchd ignores keys that it doesn't know and takes values of a wrong kind for none, so a spelling
mistake would show as a service that runs as root or never starts again. Source: launchd.plist(5) of
macOS 15.
"""

from __future__ import annotations

import typing as t

# Kinds of values, by the words of the manual.
TEXT, NUMBER, TRUTH, LIST, DICT = "string", "integer", "boolean", "array of strings", "dictionary"
LIMITS = dict.fromkeys(
    (
        "CPU",
        "Core",
        "Data",
        "FileSize",
        "MemoryLock",
        "NumberOfFiles",
        "NumberOfProcesses",
        "ResidentSetSize",
        "Stack",
    ),
    (NUMBER,),
)
CALENDAR = dict.fromkeys(("Minute", "Hour", "Day", "Weekday", "Month"), (NUMBER,))
KEEP_ALIVE = {
    "AfterInitialDemand": (TRUTH,),
    "Crashed": (TRUTH,),
    "NetworkState": (TRUTH,),
    "OtherJobEnabled": (DICT,),
    "PathState": (DICT,),
    "SuccessfulExit": (TRUTH,),
}
KEYS: t.Mapping[str, tuple[str, ...]] = {
    "AbandonProcessGroup": (TRUTH,),
    "AssociatedBundleIdentifiers": (TEXT, LIST),
    "BundleProgram": (TEXT,),
    "Debug": (TRUTH,),
    "Disabled": (TRUTH,),
    "EnableGlobbing": (TRUTH,),
    "EnablePressuredExit": (TRUTH,),
    "EnableTransactions": (TRUTH,),
    "EnvironmentVariables": (DICT,),
    "ExitTimeOut": (NUMBER,),
    "GroupName": (TEXT,),
    "HardResourceLimits": (DICT,),
    "InitGroups": (TRUTH,),
    "KeepAlive": (TRUTH, DICT),
    "Label": (TEXT,),
    "LaunchEvents": (DICT,),
    "LaunchOnlyOnce": (TRUTH,),
    "LegacyTimers": (TRUTH,),
    "LimitLoadFromHardware": (DICT,),
    "LimitLoadToHardware": (DICT,),
    "LimitLoadToSessionType": (TEXT, LIST),
    "LowPriorityBackgroundIO": (TRUTH,),
    "LowPriorityIO": (TRUTH,),
    "MachServices": (DICT,),
    "MaterializeDatalessFiles": (TRUTH,),
    "Nice": (NUMBER,),
    "ProcessType": (TEXT,),
    "Program": (TEXT,),
    "ProgramArguments": (LIST,),
    "QueueDirectories": (LIST,),
    "RootDirectory": (TEXT,),
    "RunAtLoad": (TRUTH,),
    "SessionCreate": (TRUTH,),
    "Sockets": (DICT,),
    "SoftResourceLimits": (DICT,),
    "StandardErrorPath": (TEXT,),
    "StandardInPath": (TEXT,),
    "StandardOutPath": (TEXT,),
    "StartCalendarInterval": (DICT, "array of dictionaries"),
    "StartInterval": (NUMBER,),
    "StartOnMount": (TRUTH,),
    "ThrottleInterval": (NUMBER,),
    "TimeOut": (NUMBER,),
    "Umask": (NUMBER, TEXT),
    "UserName": (TEXT,),
    "WaitForDebugger": (TRUTH,),
    "WatchPaths": (LIST,),
    "WorkingDirectory": (TEXT,),
    "inetdCompatibility": (DICT,),
}
PARTS: t.Mapping[str, t.Mapping[str, tuple[str, ...]]] = {
    "HardResourceLimits": LIMITS,
    "KeepAlive": KEEP_ALIVE,
    "SoftResourceLimits": LIMITS,
    "StartCalendarInterval": CALENDAR,
    "inetdCompatibility": {"Wait": (TRUTH,)},
}
PROGRAMS = ("Program", "ProgramArguments")


def find_faults(job: t.Mapping[str, t.Any]) -> list[str]:
    """Return what is wrong with the definition of a job of the domain ``system``."""
    faults = _faults_of(job, KEYS, "")
    if not any(name in job for name in PROGRAMS):
        faults.append("neither Program nor ProgramArguments is there; it needs one of them")
    for name in ("Program", "ProgramArguments", "StandardErrorPath", "StandardOutPath"):
        value = job.get(name)
        path = value[0] if isinstance(value, list) and value else value
        if (
            isinstance(path, str)
            and not path.startswith("/")
            and not (name == "ProgramArguments" and "Program" in job)
        ):
            faults.append(f"{name} is {path!r}, needed is an absolute path")
    for name, variable in _items(job.get("EnvironmentVariables")):
        if not isinstance(variable, str):
            faults.append(f"EnvironmentVariables.{name} is {variable!r}, needed is a string")
    return faults


def _faults_of(
    found: t.Mapping[str, t.Any], keys: t.Mapping[str, tuple[str, ...]], above: str
) -> list[str]:
    faults = []
    for name, value in found.items():
        called = f"{above}{name}"
        if name not in keys:
            near = next((key for key in keys if key.lower() == str(name).lower()), None)
            told = f"; did you mean {near}?" if near else ""
            faults.append(f"{called} is no key that launchd.plist(5) has{told}")
        elif not any(_is_kind(value, kind) for kind in keys[name]):
            faults.append(f"{called} is {value!r}, needed is {' or '.join(keys[name])}")
        elif not above and name in PARTS:
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, dict):
                    faults += _faults_of(part, PARTS[name], f"{name}.")
    return faults


def _is_kind(value: t.Any, kind: str) -> bool:
    if kind == TRUTH:
        return isinstance(value, bool)
    if kind == NUMBER:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == TEXT:
        return isinstance(value, str)
    if kind == DICT:
        return isinstance(value, dict)
    of = str if kind == LIST else dict
    return isinstance(value, list) and bool(value) and all(isinstance(v, of) for v in value)


def _items(value: t.Any) -> t.Iterable[tuple[t.Any, t.Any]]:
    return value.items() if isinstance(value, dict) else ()
