"""NVIDIA reports made with test keys: what is accepted, and each step of the verification failing alone."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.release.verifiers.attesters import Made, make_nvidia
from tests.release.verifiers.conftest import accepted, refused
from tests.release.verifiers.pki import DAY, NOW


def test_claims() -> None:
    claims = accepted("nvidia", make_nvidia(), b"\x11" * 32)
    assert claims["tee"] == "nvidia"
    assert claims["versions"] == {"driver": "590.12", "vbios": "96.00.a5.00.01"}
    assert claims["measurements"]["2"] == "0200" * 24
    assert claims["chip_id"] == f"{4711:x}"
    assert claims["raw"]["opaque"]["board_id"] == "37040000"


def test_a_list_of_devices() -> None:
    claims = accepted("nvidia", make_nvidia(devices=1), b"\x11" * 32)
    assert claims["raw"]["arch"] == "HOPPER"
    several = accepted("nvidia", make_nvidia(devices=3), b"\x11" * 32)
    assert [device["tee"] for device in several["devices"]] == ["nvidia"] * 3
    assert several["nonce"] == "11" * 32
    assert "measurement" not in several  # the devices do not have it in common


def test_other_shapes_of_the_list() -> None:
    made = make_nvidia(devices=1)
    (entry,) = json.loads(made.evidence)
    entry["certificate"] = base64.b64decode(entry["certificate"]).decode()
    for value in (entry, {"evidence_list": [entry], "nonce": "", "arch": "HOPPER"}, [entry]):
        assert accepted("nvidia", Made(json.dumps(value).encode(), made.endorsements))["tee"] == "nvidia"


def test_one_bad_device_spoils_the_list() -> None:
    made = make_nvidia(devices=2)
    value = json.loads(made.evidence)
    other = json.loads(make_nvidia(devices=1, nonce=b"\x22" * 32).evidence)
    mixed = json.dumps([value[0], other[0]]).encode()
    assert accepted("nvidia", Made(mixed, made.endorsements))["raw"] == {"count": 2}
    assert refused("nvidia", Made(mixed, made.endorsements), b"\x11" * 32) == "nonce"


@pytest.mark.parametrize("devices", [0, 1])
@pytest.mark.parametrize(
    ("step", "changes"),
    [
        ("structure", {"rest": b"\0"}),
        ("structure", {"blocks": 2}),
        ("structure", {"blocks": 4}),
        ("chain", {"not_after": NOW - DAY, "not_before": NOW - 2 * DAY}),
        ("chain", {"not_before": NOW + DAY}),
        ("chain", {"own_root": True}),
        ("chain", {"ca": True}),
        ("fwid", {"certified_fwid": b"\x0e" * 48}),
    ],
)
def test_refused(devices: int, step: str, changes: dict[str, Any]) -> None:
    assert refused("nvidia", make_nvidia(devices=devices, **changes)) == step


def test_nonce() -> None:
    for wrong in (b"\x11" * 31, b"\x11" * 33, b"\x11" * 48, b"\x12" * 32):
        assert refused("nvidia", make_nvidia(), wrong) == "nonce"
    assert refused("nvidia", make_nvidia(devices=1, said_nonce=b"\x12" * 32)) == "nonce"


@pytest.mark.parametrize("content", [b"[]", b"{}", b"[1]", b'[{"evidence": 1}]', b"[" * 40])
def test_json_that_is_no_list_of_devices(content: bytes) -> None:
    assert refused("nvidia", Made(content, make_nvidia().endorsements)) == "structure"


def test_too_many_devices() -> None:
    value = json.loads(make_nvidia(devices=1).evidence) * 33
    assert refused("nvidia", Made(json.dumps(value).encode(), make_nvidia().endorsements)) == "structure"
