"""A misspelt option is refused and the former ones stay in use; a stopped service has its alert."""

from __future__ import annotations

import json
import time

import pytest
from lab import on, play, port_of
from network import inside

# Host, tag, unit, configuration, the role's variable with the misspelt option, and that option.
MISSPELT = [
    (
        {"data": ("dragonfly", "/etc/dragonfly/dragonfly.conf", "maxmemroy")},
        {"dragonfly_flags": {"maxmemroy": "1gb"}},
    ),
    (
        {"ops": ("elasticsearch", "/etc/elasticsearch/elasticsearch.yml", "cluster.nmae")},
        {"elasticsearch_settings": {"cluster.nmae": "other"}},
    ),
    (
        {"ops": ("kibana", "/etc/kibana/kibana.yml", "server.nmae")},
        {"kibana_settings": {"server.nmae": "other"}},
    ),
    (
        {"ops": ("grafana", "/etc/grafana/grafana.ini", "alow_sign_up")},
        {"grafana_settings": {"users": {"alow_sign_up": True}}},
    ),
]


@pytest.mark.parametrize(
    ("places", "variables"), MISSPELT, ids=[next(iter(v)) for _places, v in MISSPELT]
)
def test_a_misspelt_option_is_refused_and_the_old_configuration_stays(
    places: dict[str, tuple[str, str, str]], variables: dict[str, object]
) -> None:
    ((host, (service, file, option)),) = places.items()
    unit = "grafana-server" if service == "grafana" else service
    before = on(host, f"sha256sum {file}")
    run = play("--limit", host, "--tags", service, "-e", json.dumps(variables))
    assert run.code != 0
    assert option in run.output
    assert "The former files are back" in run.output
    assert on(host, f"sha256sum {file}") == before
    assert on(host, f"systemctl is-active {unit}").strip() == "active"


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
