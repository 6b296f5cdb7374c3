# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a finder says about a number in a file, before anybody looks into the registry."""

from __future__ import annotations

import dataclasses
import enum


class Hint(enum.Enum):
    """In what way a text may name a service."""

    IMAGE = "image"  # the image that a container runs
    LABEL = "label"  # the name of a container, a job, an upstream
    WORDS = "words"  # a variable, a key, a heading: the name is among its words
    SCHEME = "scheme"  # the scheme of a URL
    PROGRAM = "program"  # the program of a command
    ROUTE = "route"  # the path of a URL or of a reverse proxy
    ENVIRONMENT = "environment"  # a variable that a container is given
    OWN = "own"  # the file itself: its port is that of the endpoint it configures
    FOLDER = "folder"  # the same, but only the service is known


class Scope(enum.Enum):
    """Whose number it is."""

    HOST = "host"  # something listens there on a host, or is published there
    CLIENT = "client"  # something connects there; the mention's host says where to
    CONTAINER = "container"  # it is a container's own, behind what is published
    CLUSTER = "cluster"  # a Service of Kubernetes offers it


class Inside(enum.Enum):
    """Where something runs that connects, if its loopback interface isn't that of a host."""

    NOWHERE = ""
    BUILT = "a container of the product"
    VENDOR = "a container of a vendor's image"
    POD = "a container of Kubernetes"
    SERVER = "the container that serves the port"


Name = tuple[Hint, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Mention:
    """A number that is a port, from `start` to `end` in the text.

    `names` are what may say whose it is, the strongest first. `host` is where a client connects
    to, as it is written, and empty if that isn't said; `container` is what the container that it
    runs in is called. `doubt` says why the number must not be rewritten. `origin` marks the
    origins that an API admits (CORS), `prose` what people wrote for people.
    """

    start: int
    end: int
    scope: Scope
    names: tuple[Name, ...] = ()
    host: str = ""
    inside: Inside = Inside.NOWHERE
    container: tuple[Name, ...] = ()
    origin: bool = False
    prose: bool = False
    protocol: str = ""
    doubt: str = ""
