"""`kmipsrv attest verify`: what it prints and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kmipsrv.cli.attest import attest
from tests.release.verifiers.attesters import make_nitro, make_snp
from tests.release.verifiers.pki import NOW


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    made = make_snp()
    paths = {}
    for name, content in zip(("report", "vcek", "chain"), (made.evidence, *made.endorsements), strict=True):
        (tmp_path / name).write_bytes(content)
        paths[name] = str(tmp_path / name)
    return paths


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(attest, ["verify", *arguments], input=stdin)


def given(files: dict[str, str], *more: str) -> tuple[str, ...]:
    endorsements = ("--endorsements", files["chain"], "--endorsements", files["vcek"])
    return ("snp", files["report"], *endorsements, "--at", NOW.isoformat(), *more)


def test_authentic(files: dict[str, str]) -> None:
    result = run(*given(files, "--json", "--nonce", "11" * 64))
    assert result.exit_code == 0
    value: dict[str, Any] = json.loads(result.output)
    assert (value["authentic"], value["type"]) == (True, "snp")
    assert value["claims"]["tee"] == "snp"
    assert value["claims"]["measurement"] == "22" * 48
    plain = run(*given(files))
    assert plain.exit_code == 0
    assert plain.output.startswith("authentic\n")
    assert "22" * 48 in plain.output


def test_refused(files: dict[str, str]) -> None:
    result = run(*given(files, "--json", "--nonce", "12" * 64))
    assert result.exit_code == 1
    value: dict[str, Any] = json.loads(result.output)
    assert value["authentic"] is False
    assert value["step"] == "nonce"
    assert value["reason"]
    plain = run(*given(files, "--nonce", "12" * 64))
    assert (plain.exit_code, plain.output.splitlines()[0][:15]) == (1, "refused: nonce:")


def test_an_endorsement_that_is_none(files: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"junk")
    result = run(*given(files, "--json", "--endorsements", str(tmp_path / "junk")))
    assert (result.exit_code, json.loads(result.output)["step"]) == (1, "endorsements")


def test_standard_input_and_text() -> None:
    result = run("nitro", "-", "--json", stdin=make_nitro().evidence.hex().encode())
    assert (result.exit_code, json.loads(result.output)["step"]) == (1, "chain")


def test_ten_megabytes(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(10_000_000))
    result = run("nvidia", str(tmp_path / "big"), "--json")
    assert (result.exit_code, json.loads(result.output)["step"]) == (1, "size")


@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", "{report}"),
        ("snp",),
        ("snp", "/nonexistent"),
        ("snp", "{report}", "--nonce", ""),
        ("snp", "{report}", "--nonce", "xy"),
        ("snp", "{report}", "--nonce", "123"),
        ("snp", "{report}", "--at", "yesterday"),
        ("snp", "{report}", "--endorsements", "/nonexistent"),
        ("snp", "{report}", "--unknown"),
    ],
)
def test_usage(files: dict[str, str], arguments: tuple[str, ...]) -> None:
    assert run(*(argument.format(**files) for argument in arguments)).exit_code == 2


def test_a_time_without_zone_is_utc(files: dict[str, str]) -> None:
    arguments = given(files)
    naive = NOW.replace(tzinfo=None).isoformat()
    assert run(*(naive if argument == NOW.isoformat() else argument for argument in arguments)).exit_code == 0
