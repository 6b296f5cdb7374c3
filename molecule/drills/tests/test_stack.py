"""A misspelt option is refused and the former ones stay in use; a stopped service has its alert."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from lab import SERVICES, Run, on, play, port_of
from network import inside

UNITS = {"grafana": "grafana-server"}
# For each run: by host the tag, the configuration and the misspelt option; the variables with them.
MISSPELT = {
    "dragonfly and elasticsearch": (
        {
            "data": ("dragonfly", "/etc/dragonfly/dragonfly.conf", "maxmemroy"),
            "ops": ("elasticsearch", "/etc/elasticsearch/elasticsearch.yml", "cluster.nmae"),
        },
        {
            "dragonfly_flags": {"maxmemroy": "1gb"},
            "elasticsearch_settings": {"cluster.nmae": "other"},
        },
    ),
    "kibana": (
        {"ops": ("kibana", "/etc/kibana/kibana.yml", "server.nmae")},
        {"kibana_settings": {"server.nmae": "other"}},
    ),
    "grafana": (
        {"ops": ("grafana", "/etc/grafana/grafana.ini", "alow_sign_up")},
        {"grafana_settings": {"users": {"alow_sign_up": True}}},
    ),
}


@dataclass(frozen=True)
class Refused:
    """A run with a misspelt option, and what was on its hosts before and after."""

    run: Run
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def refused() -> dict[str, Refused]:
    """All runs, at once: they share hosts, but no role."""

    def state(case: str) -> dict[str, str]:
        return {
            host: on(host, f"sha256sum {file}; systemctl is-active {UNITS.get(service, service)}")
            for host, (service, file, _option) in MISSPELT[case][0].items()
        }

    def refuse(case: str) -> Refused:
        places, variables = MISSPELT[case]
        tags = ",".join(service for service, _file, _option in places.values())
        words = ("--limit", ",".join(places), "--tags", tags, "-e", json.dumps(variables))
        before = state(case)
        return Refused(play(*words, playbook=SERVICES), before, state(case))

    with ThreadPoolExecutor() as pool:
        return dict(zip(MISSPELT, pool.map(refuse, MISSPELT), strict=True))


@pytest.mark.parametrize("case", MISSPELT)
def test_a_misspelt_option_is_refused_and_the_old_configuration_stays(
    refused: dict[str, Refused], case: str
) -> None:
    found = refused[case]
    assert all("\nactive\n" in text for text in found.before.values())
    assert found.run.code != 0
    for host, (_service, _file, option) in MISSPELT[case][0].items():
        assert option in found.run.failure(host)
        assert "The former files are back" in found.run.failure(host)
    assert found.after == found.before


def firing() -> set[tuple[str, str]]:
    url = f"http://127.0.0.1:{port_of('prometheus.http')}/api/v1/alerts"
    alerts = json.loads(inside("ops", "curl", "-sS", url))["data"]["alerts"]
    return {
        (alert["labels"]["alertname"], alert["labels"]["service"])
        for alert in alerts
        if alert["state"] == "firing" and "service" in alert["labels"]
    }


def test_the_alert_of_a_stopped_service_fires() -> None:
    wanted = ("EndpointDown", "dragonfly")
    assert wanted not in firing()
    on("data", "systemctl stop dragonfly")
    try:
        for _ in range(40):
            found = firing()
            if wanted in found:
                break
            time.sleep(3)
    finally:
        on("data", "systemctl start dragonfly")
    assert wanted in found
