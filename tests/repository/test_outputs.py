"""What depends on the registry is in step with it."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.prsnl.ports.plugins.plugin_utils.outputs import steps
from ansible_collections.prsnl.ports.plugins.plugin_utils.references import scan
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = load.read(str(ROOT / "registry" / "ports.yml"))


def test_generated_files_are_in_step() -> None:
    files = steps.generated(REGISTRY)
    assert "guide" in {file.output.format for file in files}
    assert [str(file) for file in files if not file.in_step] == []


def test_no_file_has_a_port_of_the_past() -> None:
    """Except for tests, which have ports of their own."""
    found = scan.scan(REGISTRY, str(ROOT), exclude=["tests/"])
    assert len(found.references) > 10
    assert [str(reference) for reference in found.of("stale")] == []
