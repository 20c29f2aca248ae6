"""`scripts/demo-release` tells its story to the end; its page shows every leaf and runs nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kmipsrv.release.facts import Facts
from kmipsrv.release.policy import evaluate, parse
from tests.conftest import ROOT
from tests.release import swtpm
from tests.release.verifiers.pki import NOW

sys.path.insert(0, str(ROOT / "scripts"))
from demonstration.page import page

POLICY = parse(
    b'{"anyOf": [{"authority": "tpm", "allOf": [{"claim": "/pcrs/sha256/0", "equals": "00"},'
    b' {"claim": "debug", "equals": false}]}], "conditions": {"maxReleases": 3}}'
)


@pytest.mark.slow
@pytest.mark.skipif(bool(swtpm.missing()), reason=f"not installed: {', '.join(swtpm.missing())}")
def test_everything_happens_as_it_says(tmp_path: Path) -> None:
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}"}
    command = [sys.executable, "-m", "demonstration", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    for said in (
        "Permission Denied",
        "Attestation Required",
        "Attestation Failed",
        "released, wrapped",
        "All as expected",
    ):
        assert said in done.stdout
    shown = (tmp_path / "out" / "decision.html").read_text("utf-8")
    assert len(re.findall(r'<section class="granted">', shown)) == 2
    assert '<span class="mark false">false</span>/pcrs/sha256/16 equals' in shown


def record(claims: dict[str, object]) -> dict[str, object]:
    facts = Facts.of({"evidence_type": "tpm", "raw": {}, **claims}, NOW, releases=0, recent_releases=())
    common = ("requester", "object", "reason", "recipient")
    return {
        "outcome": "denied",
        "time": "2026-01-01T00:00:00Z",
        "policies": [POLICY.id],
        "evidence": [{"type": "tpm", "sha256": "00"}],
        "decision": evaluate(POLICY, facts).to_json(),
        "beside": [],
        **dict.fromkeys(common, "x"),
    }


def test_every_leaf_and_condition_is_on_the_page() -> None:
    shown = page("title", "lead", [("Get", record({"pcrs": {"sha256": {"0": "00"}}}))])
    marks = re.findall(r'<span class="mark (\w+)">', shown)
    assert marks[:4] == ["indeterminate", "indeterminate", "true", "indeterminate"]  # two nodes, two leaves
    assert marks[4:] == ["true"] * 2  # the evidence is in force; maxReleases
    assert POLICY.id in shown


def test_claims_cannot_write_the_page() -> None:
    evil = "<script>alert(1)</script>"
    shown = page(evil, evil, [(evil, record({"debug": evil, "pcrs": {"sha256": {"0": evil}}}))])
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") >= 4
