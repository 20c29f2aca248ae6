"""KMIP's attestation handshake from the client's side (KMIP 2.1 §8.2, §9.11, §9.14; docs/attested-release.md).

1. The request says that the client is Attestation Capable, of what types, and to which key the release shall be wrapped.
2. The server answers Attestation Required, with a Nonce and the types that the object's policy could accept.
3. The attester makes evidence over `report_data`: a digest of the nonce's value, the recipient's public key and the
   public key of the client's certificate (`release/recipient.py`), so that none of them can be exchanged.
4. The same request goes again, with the evidence as an Attestation Credential.
5. The answer is a release: the server's signature and the receipt are checked against what was asked, and only then is
   the key unwrapped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kmipsrv.client.client import Client
from kmipsrv.client.failures import AttestationRequired, ProtocolFailure
from kmipsrv.errors import KmipError
from kmipsrv.operations.get import GetRequest
from kmipsrv.release.recipient import Context, PrivateKey, RsaDecrypt, open_release, report_data
from kmipsrv.release.statements import PublicKey
from kmipsrv.spec.attested_release import ASSERTIONS, EVIDENCE_TYPES, opened_block, recipient_extension
from kmipsrv.spec.enums import CredentialType, Operation
from kmipsrv.spec.objects import AnyObject, KeyBlock
from kmipsrv.spec.structures import Credential, CredentialValue, Nonce
from kmipsrv.ttlv.codec import BYTE_STRING


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an attester brings: a measurement of its own, or a third party's assertion (a token).

    `type` is the verifier's name for it (`kmipsrv attest verify TYPE`), which says which of the two it is."""

    type: str
    content: bytes


class Attester(Protocol):
    """A machine that can prove what it runs."""

    @property
    def types(self) -> Sequence[str]:
        """The types of evidence it can make."""

    def evidence(self, nonce: bytes, report_data: bytes) -> Evidence:
        """Evidence over `report_data` (64 bytes): a digest that covers the server's `nonce` and the recipient's key."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """The key pair that a release is wrapped to, and whose signature it must carry.

    `spki` is its public key (SubjectPublicKeyInfo, DER); `private_key` opens the release, be it a key here or a function that
    decrypts RSAES-OAEP in a TPM; `server_key` is the server's, known beforehand."""

    spki: bytes
    private_key: PrivateKey | RsaDecrypt
    server_key: PublicKey

    @classmethod
    def of(cls, private_key: PrivateKey, server_key: PublicKey) -> Recipient:
        spki = private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return cls(spki, private_key, server_key)


def get_attested(
    client: Client, unique_identifier: str, attester: Attester, certificate: bytes, recipient: Recipient | None = None
) -> AnyObject:
    """Get a gated object, attesting when the server asks for it.

    `certificate` is the client's own (PEM), whose key the evidence covers. With a `recipient` the key comes as a release to it,
    or not at all; without one in clear, where the policy allows that. Raises OperationFailed, ProtocolFailure, NotReleased for
    an answer that is not what was asked for, and what the attester raises.
    """
    spki = recipient.spki if recipient is not None else b""
    sent, nonce = _request(client, unique_identifier, attester, spki), b""
    try:
        answer = client.send(sent, Operation.GET)
    except AttestationRequired as required:
        nonce, value = required.nonce.nonce_id, required.nonce.nonce_value
        covered = report_data(value, spki, public_key_of(certificate))
        credential = attestation_credential(required.nonce, attester.evidence(value, covered))
        sent = _request(client, unique_identifier, attester, spki, credential)
        answer = client.send(sent, Operation.GET)
    found: AnyObject = answer.payload.managed_object
    if recipient is None:
        return found
    return open_object(found, Context(hashlib.sha256(sent).digest(), "", nonce, unique_identifier, spki), recipient)


def _request(
    client: Client, unique_identifier: str, attester: Attester, spki: bytes, *credentials: Credential
) -> bytes:
    return client.message(
        Operation.GET,
        GetRequest(unique_identifier=unique_identifier),
        capable=True,
        types=[EVIDENCE_TYPES[name] for name in attester.types],
        credentials=credentials,
        extensions=[recipient_extension(spki)] if spki else [],
    )


def open_object(found: AnyObject, context: Context, recipient: Recipient) -> AnyObject:
    """The released object in clear; `context` is what was asked with. Raises NotReleased, ProtocolFailure where it is no
    release."""
    block: KeyBlock | None = getattr(found.body, "key_block", None)
    if block is None or block.key_value is None or block.key_value[0] != BYTE_STRING:
        raise ProtocolFailure("the key that was asked for did not come as a release")
    plaintext = open_release(block.key_value[1], context, recipient.server_key, recipient.private_key)
    try:
        return AnyObject(found.kind, replace(found.body, key_block=opened_block(block, plaintext)))
    except KmipError as error:
        raise ProtocolFailure(f"the release does not hold a key: {error}") from error


def attestation_credential(nonce: Nonce, evidence: Evidence) -> Credential:
    """The Credential of type Attestation (2.1 §9.11 Table 413)."""
    asserted = evidence.type in ASSERTIONS
    value = CredentialValue(
        nonce=nonce,
        attestation_type=EVIDENCE_TYPES[evidence.type],
        attestation_measurement=None if asserted else evidence.content,
        attestation_assertion=evidence.content if asserted else None,
    )
    return Credential(credential_type=CredentialType.ATTESTATION, credential_value=value)


def public_key_of(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo (DER) of a certificate in PEM. Raises ValueError."""
    key = x509.load_pem_x509_certificate(certificate).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
