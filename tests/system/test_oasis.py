"""The OASIS conformance cases, through the engine in this process and over TLS and HTTPS by the independent runner.

A case that cannot pass is listed in `oasis_exceptions.tsv` with the rule of the standard that it contradicts. The list is
held both ways: a failure that is not listed fails, and so does a listed case that passes.
"""

from __future__ import annotations

import collections
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from kmipsrv.app import open_engine
from kmipsrv.cli.main import run as kmipsrv
from kmipsrv.config import load
from kmipsrv.domain.identity import Identity
from kmipsrv.engine.engine import Engine
from tests.harness import Client
from tests.system.conftest import ServerProcess

ROOT = Path(__file__).resolve().parent.parent.parent
CONFORMANCE = ROOT / "docs" / "conformance.json"  # what the README's table says
VERSIONS = ["1.0", "1.1", "1.2", "1.3", "1.4", "2.0", "2.1", "3.0"]
pytestmark = [
    pytest.mark.shared,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the runner leaves a file open
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
]


def exceptions() -> dict[str, str]:
    """Case -> the rule that it contradicts."""
    rows = (Path(__file__).parent / "oasis_exceptions.tsv").read_text().splitlines()
    return dict(row.split("\t", 1) for row in rows if row and not row.startswith("#"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """An empty store for each run: users and groups of 3.0 have one owner in all cases."""
    folder = tmp_path / "state"
    assert kmipsrv(["init", str(folder), "--config", str(ROOT / "conf" / "oasis.yaml")]) == 0
    return folder


@pytest.fixture(scope="module")
def runner(shared: Path) -> Iterator[ModuleType]:
    """The runner's own modules: its reader of cases and its judge."""
    folder = str(shared / "tools" / "oasis")
    sys.path.insert(0, folder)
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield importlib.import_module("run")
    finally:
        sys.path.remove(folder)
        sys.dont_write_bytecode = bytecode


class EngineConnection:
    """Takes the place of the runner's TLS connection."""

    engine: Engine

    def __init__(self, args: Any, owner: Any, encoding: str | None) -> None:
        identity = Identity(domain="default", name=owner, owner=f"default:{owner}", common_name=owner)
        self.client = Client(self.engine, identity=identity)
        self.ttlv = importlib.import_module("ttlv")

    def exchange(self, request: Any) -> Any:
        answer = self.client.raw(self.ttlv.encode(request))
        assert answer is not None
        return self.ttlv.decode(answer)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("version", VERSIONS)
def test_through_the_engine(
    version: str, shared: Path, state: Path, runner: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(load(state / "kmipsrv.yaml"))
    try:
        connection = type("Connection", (EngineConnection,), {"engine": engine})
        monkeypatch.setattr(runner, "Connection", connection)
        args = SimpleNamespace(omit_test_ids=False, https_port=1, distinct_clients=False, strict_order=False)
        args.cert = args.client_ca_cert = "given"
        families = collections.defaultdict(list)
        for case in runner.find_cases([str(shared / "oasis" / version)], None):
            families[runner.family(case)].append(case)
        identities = SimpleNamespace(context=lambda name: name)
        results = [each for cases in families.values() for each in runner.run_family(cases, args, identities)]
    finally:
        engine.store.close()
    judge(results)


@pytest.fixture
def oasis_server(state: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(state)
    server.start("--https", "127.0.0.1:0")
    yield server
    server.stop()


def test_over_tls_and_https_by_the_independent_runner(
    shared: Path, oasis_server: ServerProcess, tmp_path: Path
) -> None:
    out = tmp_path / "results.json"
    command = [
        sys.executable,
        str(shared / "tools" / "oasis" / "run.py"),
        *("--port", str(oasis_server.port), "--https-port", str(oasis_server.https_port)),
        *("--ca", str(oasis_server.ca), "--client-ca-cert", str(oasis_server.ca)),
        *("--client-ca-key", str(oasis_server.ca.with_suffix(".key"))),
        *("--timeout", "20", "--out", str(out)),
        *(str(shared / "oasis" / version) for version in VERSIONS),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=800, check=False, env={"PYTHONDONTWRITEBYTECODE": "1"}
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    judge(results["cases"])
    counted = {version: results["summary"][f"{version}/all"] for version in [*VERSIONS, "all"]}
    table = {version: [each["passed"], each["total"]] for version, each in counted.items()}
    if os.environ.get("KMIPSRV_WRITE_CONFORMANCE"):
        CONFORMANCE.write_text(json.dumps(table, indent=1) + "\n")
    assert json.loads(CONFORMANCE.read_text()) == table, (
        "run again with KMIPSRV_WRITE_CONFORMANCE=1, then scripts/readme"
    )


def judge(results: list[dict[str, Any]]) -> None:
    """Whether exactly the listed cases fail. Of CS-RNG-O-1 to 4, which exclude each other, one of a version suffices."""
    passed = {each["name"] for each in results if each["status"] == "PASS"}
    names = {each["name"] for each in results if each["counted"]}
    exclusive = {name for name in names if name.startswith("CS-RNG-O-")}
    for version in {name[-2:] for name in exclusive}:
        assert any(name.endswith(version) for name in exclusive & passed), f"no CS-RNG-O case of {version} passes"
    listed = exceptions()
    failed = {
        each[
            "name"
        ]: f"{each['reason']} {each.get('path', '')}: expected {each.get('expected', '')}, got {each.get('got', '')}"
        for each in results
        if each["name"] in names - passed - exclusive
    }
    unlisted = {name: why for name, why in failed.items() if name not in listed}
    assert not unlisted, "\n".join(f"{name}: {why}" for name, why in sorted(unlisted.items()))
    assert not set(listed) & passed, "listed as impossible, but it passes"
