"""PyKMIP's client goes through the whole life of objects at every version it speaks, and the examples run."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from tests.system.conftest import ServerProcess

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from kmip import enums
    from kmip.core.factories.attributes import AttributeFactory
    from kmip.pie import exceptions, objects
    from kmip.pie.client import ProxyKmipClient

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "scripts" / "examples"
VERSIONS = [enums.KMIPVersion[f"KMIP_{name}"] for name in ("1_0", "1_1", "1_2", "1_3", "1_4", "2_0")]
MASK = enums.CryptographicUsageMask
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def pykmip(server: ServerProcess, version: enums.KMIPVersion) -> ProxyKmipClient:
    return ProxyKmipClient(
        hostname="127.0.0.1",
        port=server.port,
        cert=str(server.certificate),
        key=str(server.key),
        ca=str(server.ca),
        kmip_version=version,
    )


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_the_whole_life_of_a_key(server: ServerProcess, version: enums.KMIPVersion) -> None:
    with pykmip(server, version) as client:
        uid = client.create(
            enums.CryptographicAlgorithm.AES,
            256,
            name=f"life {version.name}",
            cryptographic_usage_mask=[MASK.ENCRYPT, MASK.DECRYPT],
        )
        first = client.get(uid)
        assert (first.cryptographic_length, len(first.value)) == (256, 32)
        name = AttributeFactory().create_attribute(enums.AttributeType.NAME, f"life {version.name}")
        assert client.locate(attributes=[name]) == [uid]
        assert "State" in client.get_attribute_list(uid)
        assert state(client, uid) == enums.State.PRE_ACTIVE
        client.activate(uid)
        assert state(client, uid) == enums.State.ACTIVE
        with pytest.raises(exceptions.KmipOperationFailure):
            client.destroy(uid)
        client.revoke(enums.RevocationReasonCode.CESSATION_OF_OPERATION, uid)
        assert state(client, uid) == enums.State.DEACTIVATED
        assert client.get(uid).value == first.value
        client.destroy(uid)
        assert state(client, uid) == enums.State.DESTROYED
        with pytest.raises(exceptions.KmipOperationFailure):
            client.get(uid)
        assert client.locate(attributes=[name]) == []


def state(client: ProxyKmipClient, uid: str) -> enums.State:
    _, (attribute,) = client.get_attributes(uid, ["State"])
    return attribute.attribute_value.value


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_what_is_registered_comes_back(server: ServerProcess, version: enums.KMIPVersion) -> None:
    given = [
        objects.SymmetricKey(enums.CryptographicAlgorithm.AES, 128, bytes(range(16)), masks=[MASK.ENCRYPT]),
        objects.SecretData(b"correct horse", enums.SecretDataType.PASSWORD, masks=[MASK.DERIVE_KEY]),
        objects.OpaqueObject(b"\x00\xff opaque", enums.OpaqueDataType.NONE),
    ]
    with pykmip(server, version) as client:
        for number, each in enumerate(given):
            each.names = [f"{version.name} {number}"]
            uid = client.register(each)
            assert client.get(uid).value == each.value
            client.destroy(uid)


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_key_pairs(server: ServerProcess, version: enums.KMIPVersion) -> None:
    with pykmip(server, version) as client:
        public, private = client.create_key_pair(
            enums.CryptographicAlgorithm.RSA,
            2048,
            public_usage_mask=[MASK.VERIFY],
            private_usage_mask=[MASK.SIGN],
        )
        assert client.get(public).cryptographic_algorithm == enums.CryptographicAlgorithm.RSA
        assert client.get(private).key_format_type == enums.KeyFormatType.PKCS_1
        for uid in (public, private):
            client.destroy(uid)


def example(server: ServerProcess, name: str, *arguments: str) -> str:
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
    options = ["--state", str(server.state), "--port", str(server.port)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_examples_run(server: ServerProcess) -> None:
    uid = example(server, "create", "an example")
    assert example(server, "locate", "an example") == uid
    assert len(bytes.fromhex(example(server, "get", uid))) == 32
    assert example(server, "activate", uid) == "active"
    assert "State: State.ACTIVE" in example(server, "attributes", uid)
    assert example(server, "revoke", uid) == "deactivated"
    assert example(server, "destroy", uid) == "destroyed"
    other = example(server, "register", "00" * 16, "of my own")
    assert example(server, "get", other) == "00" * 16
    assert example(server, "locate") == other
    elsewhere = {"connection", "attested_get"}  # the second is run by the demonstration of attested release
    ran = {"create", "register", "get", "locate", "activate", "revoke", "destroy", "attributes"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == ran | elsewhere
