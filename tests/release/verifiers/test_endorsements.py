"""The bag of endorsements: which forms are read, what is an anchor, what is refused."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc.jwk import ECKey

from kmipsrv.release.endorsements import MAX_FILE, WELL_KNOWN_ROOTS, Endorsements
from kmipsrv.release.refusal import Refused
from tests.release.verifiers.pki import DAY, NOW, certificate, key, name, pem, root, spki, spki_pem

LEAF = certificate("leaf", key("leaf"), "ca", key("ca"))
CA = certificate("ca", key("ca"), "root", key("root"), ca=True)
ROOT = root("root")
CRL = x509.CertificateRevocationListBuilder(name("root"), NOW, NOW + DAY).sign(key("root"), hashes.SHA384())


def names(*files: bytes) -> tuple[list[str], list[str]]:
    """The common names of all certificates, and of the anchors."""
    bag = Endorsements.parse(files)
    return [member.common_name for member in bag.certificates], [member.common_name for member in bag.roots]


@pytest.mark.parametrize(
    "form",
    [
        ROOT,
        pem(ROOT),
        ROOT.hex().encode(),
        base64.b64encode(ROOT),
        base64.encodebytes(ROOT),
        base64.b64encode(pem(ROOT)),
        b"subject=root\n" + pem(ROOT),
    ],
)
def test_forms_of_a_certificate(form: bytes) -> None:
    assert names(form) == (["root"], ["root"])


def test_files_in_any_order() -> None:
    assert names(LEAF, pem(CA, ROOT)) == (["leaf", "ca", "root"], ["root"])
    assert names(ROOT, CA + LEAF) == (["root", "ca", "leaf"], ["root"])


def test_the_root_of_a_device_chain_is_no_anchor() -> None:
    assert names(pem(LEAF, CA, ROOT)) == (["leaf", "ca", "root"], [])
    assert names(LEAF + CA + ROOT) == (["leaf", "ca", "root"], [])
    assert names(pem(LEAF, CA, ROOT), pem(ROOT))[1] == ["root"]


def test_the_root_of_a_host_file_is_no_anchor() -> None:
    host = json.dumps({"vcekCert": pem(LEAF).decode(), "certificateChain": pem(CA, ROOT).decode(), "tcbm": ""})
    assert names(host.encode()) == (["leaf", "ca", "root"], [])
    ca_only = json.dumps({"vcekCert": "", "certificateChain": pem(ROOT).decode()})
    assert names(ca_only.encode()) == (["root"], [])


def test_a_well_known_root_in_a_device_chain_counts_where_no_anchor_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    (known,) = Endorsements.parse([ROOT]).certificates
    monkeypatch.setitem(WELL_KNOWN_ROOTS, known.fingerprint, "a vendor's")
    assert names(pem(LEAF, CA, ROOT))[1] == ["root"]
    assert names(pem(LEAF, CA, ROOT), root("another"))[1] == ["another"]  # the anchors given are the anchors


def test_keys_and_lists() -> None:
    jwk: Any = ECKey.import_key(spki_pem(key("k"))).as_dict(private=False)
    bag = Endorsements.parse(
        [
            spki_pem(key("a")),
            spki(key("b")),
            CRL.public_bytes(Encoding.DER),
            CRL.public_bytes(Encoding.PEM),
            json.dumps(jwk).encode(),
            json.dumps({"keys": [jwk, jwk]}).encode(),
        ]
    )
    assert len(bag.public_keys) == 2
    assert len(bag.crls) == 2
    assert len(bag.jwks) == 3
    assert len(bag.keys) == 5
    assert bag.roots == ()


def private_pem() -> bytes:
    return key("a").private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" \n",
        b"nothing",
        b"\x00" * 100,
        b"\x30\x80" + ROOT,
        ROOT[:-1],
        ROOT + b"\0",
        pem(ROOT).replace(b"M", b"*"),
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA",
        private_pem(),
        pem(ROOT) + private_pem(),
        b"{}",
        b"[]",
        b"{",
        b'{"keys": [{"kty": "oct", "k": "AAAA"}]}',
        b'{"kty": "EC", "d": "AAAA"}',
        b'{"keys": [1]}',
        b'{"kty": "EC", "kty": "EC"}',
        b'{"vcekCert": 1, "certificateChain": "x' + b"[" * 100 + b'"',
        b"[" * 100_000,
        bytes(MAX_FILE + 1),
    ],
)
def test_what_is_no_endorsement(content: bytes) -> None:
    with pytest.raises(Refused) as caught:
        Endorsements.parse([content])
    assert caught.value.step == "endorsements"


def test_collateral_must_be_strings() -> None:
    members: dict[str, Any] = dict.fromkeys(
        (
            "pck_crl_issuer_chain",
            "root_ca_crl",
            "pck_crl",
            "tcb_info_issuer_chain",
            "tcb_info",
            "tcb_info_signature",
            "qe_identity_issuer_chain",
            "qe_identity",
            "qe_identity_signature",
        ),
        "",
    )
    assert len(Endorsements.parse([json.dumps(members).encode()]).collateral) == 1
    with pytest.raises(Refused):
        Endorsements.parse([json.dumps({**members, "pck_crl": 1}).encode()])


def test_unfinished_blocks_cost_one_look() -> None:
    begin = time.perf_counter()
    for label in (b"CERTIFICATE", b"certificate"):
        with pytest.raises(Refused):
            Endorsements.parse([(b"-----BEGIN " + label + b"-----\n") * 100_000])
    assert time.perf_counter() - begin < 0.5


def test_keys_of_other_kinds_are_of_no_use_and_do_no_harm() -> None:
    other = {"kty": "OKP", "crv": "X25519", "x": "AAAA"}
    bag = Endorsements.parse([json.dumps({"keys": [other, {"kty": "unknown"}]}).encode(), spki_pem(key("a"))])
    assert len(bag.jwks) == 2
    assert len(bag.keys) == 1


def test_too_many_items() -> None:
    with pytest.raises(Refused, match="more than"):
        Endorsements.parse([CA] * 1025)
