# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocating, moving and retiring endpoints, by the rules of the registry and with its history."""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance.change import (
    Change,
    Groups,
    RefusedError,
    overlap,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance.uses import Use, Uses
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.editor import Editor
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    Path,
    RegistryError,
    found,
    near,
    shown,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.leases import Lease
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import (
    GUARDED,
    Endpoint,
    Range,
    Registry,
    mapping,
)

STATES: t.Final = ("present", "changed", "absent")
# The keys of an endpoint, in the order in which they are written.
KEYS: t.Final = (
    "description",
    "port",
    "protocol",
    "status",
    "exposure",
    "consumers",
    "addresses",
    "environments",
    "probe",
    "tls",
    "metrics",
    "routes",
    "browser_origin",
    "exception",
    "owner",
    "config",
)
SERVICE_KEYS: t.Final = ("description", "hosts", "environments", "range", "replaces", "owner")
STATUS: t.Final = "fixed"
NO_REASON: t.Final = "No reason was given"
_ID: t.Final = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")

# Who holds ports on live hosts: by protocol and port, in words.
Held = t.Mapping[tuple[str, int], str]


@dataclasses.dataclass(frozen=True)
class Request:
    """What is wanted of an endpoint.

    `definition` has the endpoint's other keys as the registry has them, `service` those of its
    service where that is new. `reuse` is the explicit word for a port that somebody had before.
    """

    state: str
    endpoint: str
    port: int | None = None
    status: str | None = None
    reason: str = ""
    what: str = ""
    by: str = ""
    reuse: bool = False
    exception: str | None = None
    definition: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    service: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Circumstances:
    """What else counts: the leases, the time, the inventory's groups, who holds what on hosts."""

    leases: t.Sequence[Lease]
    now: datetime.datetime
    groups: Groups | None = None
    held: Held = dataclasses.field(default_factory=dict)


def allocate(source: bytes, file: str, request: Request, around: Circumstances) -> Change:
    """What a request makes of a registry.

    Raises RefusedError if the rules don't allow it, RegistryError if the registry has faults.
    """
    registry = load.parse(source, file)
    return _Allocation(registry, request, around).change()


class _Allocation:
    def __init__(self, registry: Registry, request: Request, around: Circumstances) -> None:
        self.registry = registry
        self.request = request
        self.around = around
        self.uses = Uses(registry, around.leases, around.now)
        self.editor = Editor(registry.source, registry.file, registry.data)
        self.warnings: list[str] = []
        # The history's changes of other endpoints that this one takes the port of.
        self.others: list[dict[str, t.Any]] = []

    def change(self) -> Change:
        request = self.request
        if not _ID.fullmatch(request.endpoint):
            raise self.refusal(
                f"found the endpoint {found(request.endpoint)}, allowed is service.name in lower"
                " case letters, digits and _"
            )
        existing = self.registry.endpoints.get(request.endpoint)
        port = getattr(self, f"_{request.state}")(existing)
        after = self.editor.result()
        if after != self.registry.source:
            self._check(after)
        return Change(after, port, self.warnings)

    def _check(self, after: bytes) -> None:
        try:
            load.parse(after, self.registry.file, self.editor.data)
        except RegistryError as error:
            raise self.refusal(f"it would leave the registry with faults:\n{error}") from error

    def refusal(self, why: str) -> RefusedError:
        known, name = self.registry, self.request.endpoint
        existing = known.endpoints.get(name)
        place = known.where(existing.path) if existing else shown(known.file)
        return RefusedError(f"{place}: {name} can't be {_DONE[self.request.state]}: {why}")

    # --- states ----------------------------------------------------------------------------

    def _present(self, existing: Endpoint | None) -> int:
        request = self.request
        if existing is None:
            return self._add()
        if existing.status == "retired":
            return self._revive(existing)
        if request.port not in (None, existing.port):
            raise self.refusal(
                f"it has port {existing.port}. The state changed moves it to {request.port}"
            )
        if request.status not in (None, existing.status):
            raise self.refusal(
                f"it is {existing.status}. The state changed makes it {request.status}"
            )
        self._compare(request.definition, self._data_of(existing), existing.path)
        service = mapping(self.registry.data["services"][existing.service])
        self._compare(request.service, service, ("services", existing.service))
        return existing.port

    def _compare(
        self, wanted: t.Mapping[str, t.Any], has: t.Mapping[str, t.Any], path: Path
    ) -> None:
        """What is there stays: ports and statuses are changed here, the rest by people."""
        for key, value in wanted.items():
            if has.get(key, _DEFAULTS.get(key)) != value:
                raise self.refusal(
                    f"its {key} is {_shown(has.get(key))}, asked for is {_shown(value)}. Change"
                    f" that in the file ({self.registry.where(path)})"
                )

    def _add(self) -> int:
        request = self.request
        service, name = request.endpoint.split(".")
        status = request.status or STATUS
        if status == "retired":
            raise self.refusal("what is new can't be retired; allowed is another status")
        self._need_reason(status)
        services = self.registry.services
        is_new = service not in services
        if is_new and not request.service:
            raise self.refusal(
                f"there is no service {service}{near(service, services)}. A new one needs its"
                " description, hosts and environments, and perhaps its range and owner"
            )
        if not is_new:
            data = mapping(self.registry.data["services"][service])
            self._compare(request.service, data, ("services", service))
        protocol = str(request.definition.get("protocol", "tcp"))
        port = self._choose(protocol, None)
        values = {**request.definition, "port": port, "status": status}
        if request.exception is not None:
            values["exception"] = request.exception
        data = {key: values[key] for key in KEYS if values.get(key) is not None}
        if data.get("protocol") == "tcp":
            del data["protocol"]
        if is_new:
            new = {key: request.service[key] for key in SERVICE_KEYS if key in request.service}
            self.editor.add(
                ("services",), service, {**new, **request.service, "endpoints": {name: data}}
            )
        else:
            self.editor.add(("services", service, "endpoints"), name, data)
        self._free(port, protocol)
        self._record(f"{request.endpoint} gets {port}", port, status)
        return port

    def _revive(self, existing: Endpoint) -> int:
        request = self.request
        if not request.reuse:
            raise self.refusal(
                f"it is retired, with port {existing.port}. To use it again say so with reuse, and"
                " give a reason"
            )
        status = request.status or STATUS
        self._need_reason(status)
        port = existing.port
        if request.port not in (None, port):
            port = self._choose(existing.protocol, existing)
            self._free(port, existing.protocol)
        else:
            self._refuse_taken(port, existing.protocol, existing)
        self._set(existing, "status", status)
        self._move(existing, port)
        for key, value in request.definition.items():
            self._set(existing, key, value)
        self._record(f"{existing.id} is used again, on {port}", port, status)
        return port

    def _changed(self, existing: Endpoint | None) -> int:
        request = self.request
        if existing is None:
            raise self._unknown()
        if existing.status == "retired":
            raise self.refusal("it is retired. The state present with reuse brings it back")
        if request.status == "retired":
            raise self.refusal("allowed is another status. The state absent retires it")
        if request.port is None and request.status is None:
            raise self.refusal("found neither port nor status, allowed is one or both")
        data = self._data_of(existing)
        same = {key: value for key, value in request.definition.items() if key in data}
        self._compare(same, data, existing.path)
        port, status = request.port or existing.port, request.status or existing.status
        if (port, status) == (existing.port, existing.status):
            return port
        self._need_reason(existing.status, status)
        words = []
        if port != existing.port:
            self._choose(existing.protocol, existing)
            self._free(port, existing.protocol)
            words.append(f"moves from {existing.port} to {port}")
        if status != existing.status:
            self._set(existing, "status", status)
            words.append(f"is {status} instead of {existing.status}")
        self._move(existing, port)
        for key, value in request.definition.items():
            self._set(existing, key, value)
        self._record(f"{existing.id} {listed(words)}", port, status)
        return port

    def _absent(self, existing: Endpoint | None) -> int:
        if existing is None:
            was = [c for c in self.registry.changes if c.endpoint == self.request.endpoint]
            if not was:
                raise self._unknown()
            return was[-1].old or 0
        if existing.status != "retired":
            self._need_reason(existing.status)
            self._set(existing, "status", "retired")
            self._record(f"{existing.id} is retired", existing.port, "retired")
        return existing.port

    def _unknown(self) -> RefusedError:
        name = self.request.endpoint
        return self.refusal(f"there is no such endpoint{near(name, self.registry.endpoints)}")

    # --- ports -----------------------------------------------------------------------------

    def _choose(self, protocol: str, own: Endpoint | None) -> int:
        """The port that is asked for if it may be had, else the next free one of the range."""
        if self.request.port is not None:
            self._refuse_taken(self.request.port, protocol, own)
            return self.request.port
        span = self._range()
        free = (p for p in self.uses.free(span, protocol) if (protocol, p) not in self.around.held)
        port = next(free, None)
        if port is None:
            raise self.refusal(
                f"no port of {span} is free. Give one that somebody had before, with reuse and a"
                " reason, or one of another range, with an exception"
            )
        return port

    def _range(self) -> Range:
        service = self.request.endpoint.split(".")[0]
        known = self.registry.services.get(service)
        name = known.range if known else self.request.service.get("range")
        for span in self.registry.ranges:
            if span.name == name:
                return span
        if name is None:
            raise self.refusal("its service has no range to take a port from; give a port")
        names = [span.name for span in self.registry.ranges]
        raise self.refusal(
            f"found the range {found(name)}, allowed is {listed(names, 'or')}"
            f"{near(str(name), names)}"
        )

    def _refuse_taken(self, port: int, protocol: str, own: Endpoint | None) -> None:
        """Refuses a port that others use or used; what the registry's rules refuse is left."""
        me = own.id if own else self.request.endpoint
        for use in self.uses.of(port, protocol):
            if use.who == me and use.kind not in ("leased", "lease ended"):
                continue
            if use.kind in ("retired", "formerly") and not self.request.reuse:
                raise self.refusal(f"{use}. To use it again say so with reuse, and give a reason")
            if use.kind in ("leased", "lease ended") and self._meets(use):
                if use.kind == "leased":
                    raise self.refusal(f"{use}. Wait for the end, or let its holder end it")
                self.warnings.append(f"{use}. Remove the lease when its holder is gone")
            if use.kind == "system":
                self.warnings.append(str(use))
        if self.request.reuse:
            self._need_reason(*GUARDED)
        holder = self.around.held.get((protocol, port))
        if holder:
            raise self.refusal(f"{port}/{protocol} is {holder}")

    def _meets(self, lease: Use) -> bool:
        service = self.request.endpoint.split(".")[0]
        known = self.registry.services.get(service)
        hosts = known.hosts if known else str(self.request.service.get("hosts", ""))
        groups = mapping(self.registry.data.get("groups"))
        return overlap(lease.who, hosts, groups, self.around.groups)

    def _free(self, port: int, protocol: str) -> None:
        """Lets retired endpoints leave a port that is going to be used again."""
        leaving = [
            endpoint
            for endpoint in self.registry.endpoints.values()
            if (endpoint.port, endpoint.protocol) == (port, protocol)
            and endpoint.status == "retired"
            and endpoint.id != self.request.endpoint
        ]
        for endpoint in leaving:
            # What was changed before may be beside it.
            self.editor = Editor(self.editor.result(), self.registry.file)
            services = self.editor.data["services"]
            if len(services[endpoint.service]["endpoints"]) == 1:
                self.editor.remove(("services", endpoint.service))
            else:
                self.editor.remove(endpoint.path)
            self.others.append({"endpoint": endpoint.id, **self._from(endpoint.id)})

    # --- writing ---------------------------------------------------------------------------

    def _data_of(self, endpoint: Endpoint) -> dict[str, t.Any]:
        service = self.registry.data["services"][endpoint.service]
        return mapping(service["endpoints"][endpoint.name])

    def _set(self, endpoint: Endpoint, key: str, value: t.Any) -> None:
        data = self._data_of(endpoint)
        if key not in data:
            self.editor.add(endpoint.path, key, value)
        elif data[key] != value:
            if isinstance(value, (dict, list)):
                place = self.registry.where((*endpoint.path, key))
                raise self.refusal(f"change its {key} in the file first ({place})")
            self.editor.set((*endpoint.path, key), value)

    def _move(self, endpoint: Endpoint, port: int) -> None:
        """Gives an endpoint another port, and the reason that it needs there or none."""
        self._set(endpoint, "port", port)
        exception = self.request.exception
        if exception is not None:
            self._set(endpoint, "exception", exception)
            return
        name = self.registry.services[endpoint.service].range
        inside = any(
            span.name == name and span.first <= port <= span.last for span in self.registry.ranges
        )
        if inside and endpoint.exception is not None:
            self.editor.remove((*endpoint.path, "exception"))

    def _need_reason(self, *statuses: str) -> None:
        guarded = sorted(GUARDED & set(statuses))
        if guarded and not self.request.reason.strip():
            what = "the reuse of a port" if self.request.reuse else f"a {guarded[0]} endpoint"
            raise self.refusal(f"{what} needs a reason, for the history")

    def _from(self, endpoint: str) -> dict[str, int]:
        """The port that the history knows last."""
        was = [change for change in self.registry.changes if change.endpoint == endpoint]
        return {"from": was[-1].new} if was and was[-1].new is not None else {}

    def _record(self, what: str, port: int, status: str) -> None:
        request = self.request
        for other in self.others:
            what += f", which was {other['endpoint']}'s"
        entry = {
            "date": self._today(),
            "what": request.what or what,
            "why": request.reason.strip() or NO_REASON,
            "by": request.by,
            "changes": [
                *(other for other in self.others if "from" in other),
                {
                    "endpoint": request.endpoint,
                    **self._from(request.endpoint),
                    "to": port,
                    "status": status,
                },
            ],
        }
        self.editor.append(("history",), entry)

    def _today(self) -> str:
        """The day of an entry: the oldest one comes first, also where a day began earlier."""
        today = self.around.now.astimezone().date()
        history = self.registry.data.get("history") or [{"date": ""}]
        newest = str(history[-1]["date"])
        if newest > (today + datetime.timedelta(days=1)).isoformat():
            place = self.registry.where(("history", len(history) - 1, "date"))
            raise self.refusal(
                f"the newest entry of the history is of {newest} ({place}), which is to come."
                " Correct that entry or the clock"
            )
        return max(today.isoformat(), newest)


_DONE: t.Final = {"present": "allocated", "changed": "changed", "absent": "retired"}
_DEFAULTS: t.Final[dict[str, t.Any]] = {"protocol": "tcp", "browser_origin": False}


def _shown(value: t.Any) -> str:
    if isinstance(value, list):
        return listed(map(str, value)) if value else "none"
    return found(value)
