#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: handoff
short_description: Write the page from which operations take over
version_added: 0.2.0
description:
  - From what M(prsnl.ports.port_verify) and M(prsnl.ports.handoff_evidence) found on every host,
    writes a folder with C(index.html) (one file that needs no network), C(handoff.md), C(ports.md)
    (the port guide), C(evidence.json) and its JSON Schema.
  - The page begins with what is not as it should be, the most urgent first, each with its host and
    the first command to type.
  - Every statement of the page names the reading in C(evidence.json) that it was taken from, and
    that quotes what was asked and what was answered.
  - The page is made of C(evidence.json) alone (and of that of the last handoff, for what differs),
    so the same evidence gives the same bytes.
  - Hosts that can't be reached, or that the run was limited to exclude, are on the page as such.
  - Works on the controller only. No connection to a host is made.
  - With P(prsnl.ports.port_report#callback) a summary is printed at the end of the run.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.registry
attributes:
  action:
    description: Has an action plugin.
    support: full
  check_mode:
    description: Can run in check mode and return the same as without. Nothing is written.
    support: full
  connection:
    description: Uses the connection to the host.
    support: none
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
    details:
      - RV(differences) has what differs from the last handoff.
  idempotent:
    description: The same evidence a second time changes nothing.
    support: full
  platform:
    platforms: all
options:
  folder:
    description:
      - The folder of all handoffs. Each has one of its own below it, named C(<date>-<hash>) by the
        first digits of the registry's SHA-256. A second one of the same day and registry gets a
        number, so that none is ever written over.
    type: path
    required: true
  templates:
    description: The folder of the templates, which the role P(prsnl.ports.handoff#role) has.
    type: path
    required: true
  title:
    description: What the page is headed with.
    type: str
    default: Handoff
  facts:
    description: By host, the result of the task that met it first.
    type: dict
    default: {}
  verified:
    description: By host, the result of M(prsnl.ports.port_verify).
    type: dict
    default: {}
  evidence:
    description: By host, the result of M(prsnl.ports.handoff_evidence).
    type: dict
    default: {}
  evidence_file:
    description:
      - The C(evidence.json) of a handoff, to be made into a page again, instead of what was found
        now.
      - The page is written into the folder of that file.
    type: path
  compare:
    description: The C(evidence.json) to compare with. By default that of the last handoff.
    type: path
  service:
    description:
      - Write a page of this service alone as well, C(<service>.html). With O(evidence_file) it is
        the only one that is written.
    type: str
  contacts:
    description:
      - Whom to call, by service or by the name that a runbook has under C(contact). C(default) is
        for all others. Each may have C(name), C(phone), C(email), C(chat) and C(hours).
    type: dict
    default: {}
  require:
    description:
      - What has to be so. What is missing for it is in RV(unmet), with which the role
        P(prsnl.ports.handoff#role) fails.
      - V(healthy) is a host that was reached with nothing critical; V(no_drift) that every port,
        path and configuration is as planned and nobody listens unregistered; V(no_expired_lease) as
        it says; V(runbooks) that every service has a complete one; V(contacts) that every service
        has somebody to call.
    type: list
    elements: str
    choices: [healthy, no_drift, no_expired_lease, runbooks, contacts]
    default: []
  commands:
    description:
      - Commands of this site that the page shows, by C(site) (provisions), C(firewall), C(verify),
        C(drift) and C(handoff).
    type: dict
    default: {}
  certificate_days:
    description: How many days before its end a certificate is told of.
    type: int
    default: 21
  disk_percent:
    description: How full a file system may be.
    type: int
    default: 85
  memory_percent:
    description: How much memory of a host may be in use.
    type: int
    default: 95
  secrets:
    description:
      - Folders with secrets on the controller. A line of their files that has found its way into
        the evidence is left out of it.
    type: list
    elements: path
    default: []
seealso:
  - module: prsnl.ports.handoff_evidence
  - module: prsnl.ports.port_verify
  - plugin: prsnl.ports.port_report
    plugin_type: callback
"""

EXAMPLES = r"""
- name: Make the page of an old handoff again, and compare it with an older one
  prsnl.ports.handoff:
    folder: handoff
    templates: roles/handoff/templates
    evidence_file: handoff/2026-11-26-0123456789ab/evidence.json
    compare: handoff/2026-11-20-0123456789ab/evidence.json
"""

RETURN = r"""
folder:
  description: The folder of this handoff.
  returned: success
  type: str
page:
  description: The page to open.
  returned: success
  type: str
state:
  description: V(healthy), V(attention) (nothing is down) or V(unhealthy).
  returned: success
  type: str
findings:
  description: What is not as it should be, the most urgent first.
  returned: success
  type: list
  elements: dict
  contains:
    severity:
      description: V(critical) or V(warning).
      type: str
    kind:
      description: What it is about.
      type: str
      sample: endpoint
    host:
      description: The host.
      type: str
    service:
      description: The service; empty if it is about none.
      type: str
    title:
      description: What is wrong.
      type: str
    detail:
      description: What was seen.
      type: str
    command:
      description: The first thing to type.
      type: str
    readings:
      description: What says so, as C(host/reading) in C(evidence.json).
      type: list
      elements: str
missing:
  description: By requirement, what is missing for it. Those that are met have an empty list.
  returned: success
  type: dict
unmet:
  description: What is missing for what O(require) names, a line each.
  returned: success
  type: list
  elements: str
differences:
  description: What differs from the other handoff, each with C(what) (V(added), V(gone) or
    V(changed)), C(kind), C(host), C(subject), C(before) and C(after).
  returned: success
  type: list
  elements: dict
summary:
  description: The lines for a terminal, each with what it is.
  returned: success
  type: list
  elements: list
"""
