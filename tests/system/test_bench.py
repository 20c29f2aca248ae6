"""scripts/bench runs, checks every answer and says what it found. How fast anything is, no test asks."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

KINDS = {
    "echo": ["TLS echo"],
    "get": ["kmipsrv, 1 worker", "PyKMIP 0.11.0"],
    "create": ["kmipsrv, 1 worker", "PyKMIP 0.11.0"],
}


def bench(folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """-> (the JSON, the table)"""
    files = ["--json", str(folder / "out" / "bench.json"), "--png", str(folder / "out" / "bench.png")]
    command = [str(ROOT / "scripts/bench"), "--quick", *files, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads((folder / "out" / "bench.json").read_text())
    return result, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("load", [(), ("--python-load",)], ids=["any", "python"])
def test_a_quick_run_measures_every_kind_without_a_failure(tmp_path: Path, load: tuple[str, ...]) -> None:
    result, table = bench(tmp_path, *load)
    rounds = result["rounds"]
    found = {(row["operation"], row["server"], row["connections"]) for row in rounds}
    assert found == {
        (kind, server, count) for kind, servers in KINDS.items() for server in servers for count in (1, 64)
    }
    for row in rounds:
        assert row["failures"] == 0
        assert row["answers"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert ("times_pykmip" in row) == row["server"].startswith("kmipsrv")
    assert all(figure > 0 for figure in result["floors"].values())
    assert (tmp_path / "out" / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert f"{next(row for row in rounds if row['operation'] == 'get')['per_second']:,.0f}" in table
    assert ("client.py" in result["load"]) or not load


@pytest.mark.slow
def test_the_gate_is_measured_where_it_is_asked_for(tmp_path: Path) -> None:
    result, table = bench(tmp_path, "--gate", "--connections", "1")
    assert set(result["gate"]) >= {"verify a TPM 2.0 quote", "verify an SEV-SNP report"}
    assert all(0 < milliseconds < 1000 for milliseconds in result["gate"].values())
    assert "attestation, one core" in table
