"""Clients that attest: a gate with test anchors, and both halves of KMIP's handshake spoken to an engine in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kmipsrv.domain.ports import Keyring
from kmipsrv.engine.engine import Engine
from kmipsrv.release import decisions
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.gate import GateSettings
from kmipsrv.release.recipient import report_data
from kmipsrv.spec.attested_release import EVIDENCE_TYPES, recipient_extension
from kmipsrv.spec.attribute_codec import RELEASE_POLICY
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import unbind
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Version
from kmipsrv.ttlv.codec import BYTE_STRING, ENUMERATION, STRUCTURE, TEXT_STRING, Item
from tests.harness import Answer, Client, Clock, make_engine, named_1x, true, uid_item, vendor_attribute
from tests.release.verifiers.attesters import Made, make_snp
from tests.release.verifiers.pki import NOW
from tests.release.verifiers.tpm_attesters import make_tpm

START = int(NOW.timestamp())
TPM = b'{"version": "1.0.0", "anyOf": [{"authority": "tpm", "allOf": [{"claim": "tee", "equals": "tpm"}]}]}'
ANYTHING = '{"anyOf": [{"claim": "tee", "exists": true}]}'
SNP = '{"anyOf": [{"authority": "snp", "allOf": [{"claim": "debug", "equals": false}]}]}'

Maker = Callable[[bytes], Made]


def tpm(covered: bytes) -> Made:
    return make_tpm(nonce=covered)


def snp(covered: bytes) -> Made:
    return make_snp(report_data=covered)


def anchors(*types: str) -> dict[str, Endorsements]:
    """What is pinned for these types: the test's own roots and keys."""
    made = {"tpm": make_tpm, "snp": make_snp}
    return {kind: Endorsements.parse(made[kind]().endorsements) for kind in types or made}


def gate_settings(**changes: Any) -> GateSettings:
    return GateSettings(**{"endorsements": anchors(), **changes})


@contextmanager
def gated_engines(folder: Path, keyring: Keyring, clock: Clock) -> Iterator[Callable[..., Client]]:
    """Starts engines on one database, with these changes to the gate's settings: as many workers, or one after the other."""
    engines: list[Engine] = []

    def started(**changes: Any) -> Client:
        engines.append(make_engine(folder, keyring, clock, release=gate_settings(**changes)))
        return Client(engines[-1], Version.V2_1)

    yield started
    for engine in engines:
        engine.store.close()


def trail(client: Client) -> list[dict[str, Any]]:
    """The records of the audit trail."""
    with client.engine.store.work() as work:
        last, _ = work.audit_head()
        return [decisions.parse(body) for _, body, _ in work.audit(0, last)]


def policy_item(client: Client, value: str) -> Item:
    """The attribute Release Policy, as the client's version writes it."""
    return release_policy(client.version, value)


def release_policy(version: Version, value: str) -> Item:
    if version < Version.V2_0:
        return named_1x("x-kmipsrv-Release-Policy", TEXT_STRING, value)
    return vendor_attribute(*RELEASE_POLICY, TEXT_STRING, value)


def gated(client: Client, policy: str = ANYTHING, material: bytes | None = None, mask: int = 0xFFF) -> str:
    """A key of the client's under a policy (by id or by value) -> its unique identifier. From KMIP 2.0 on."""
    material = os.urandom(32) if material is None else material
    return client.register_key(material, policy_item(client, policy), mask=mask)


@dataclass(frozen=True)
class Challenge:
    """What an Attestation Required brought along."""

    nonce_id: bytes
    value: bytes
    types: tuple[int, ...]


def capable(*types: str) -> list[Item]:
    """The header fields of a client that can make evidence."""
    listed = [(Tag.ATTESTATION_TYPE, ENUMERATION, int(EVIDENCE_TYPES[each])) for each in types]
    return [true(Tag.ATTESTATION_CAPABLE_INDICATOR), *listed]


def challenge_of(header: Sequence[Item]) -> Challenge | None:
    """The challenge in a response header's fields."""
    found: dict[int, Any] = {tag: value for tag, _, value in header}
    if Tag.NONCE not in found:
        return None
    nonce = {tag: value for tag, _, value in found[Tag.NONCE]}
    types = tuple(value for tag, _, value in header if tag == Tag.ATTESTATION_TYPE)
    return Challenge(nonce[Tag.NONCE_ID], nonce[Tag.NONCE_VALUE], types)


def credential(kind: str, challenge: Challenge, made: Made, *, assertion: bool = False) -> Item:
    """Authentication with one Attestation credential."""
    tag = Tag.ATTESTATION_ASSERTION if assertion else Tag.ATTESTATION_MEASUREMENT
    value: list[Item] = [
        (
            Tag.NONCE,
            STRUCTURE,
            [(Tag.NONCE_ID, BYTE_STRING, challenge.nonce_id), (Tag.NONCE_VALUE, BYTE_STRING, challenge.value)],
        ),
        (Tag.ATTESTATION_TYPE, ENUMERATION, int(EVIDENCE_TYPES[kind])),
        (tag, BYTE_STRING, made.evidence),
    ]
    inner: list[Item] = [
        (Tag.CREDENTIAL_TYPE, ENUMERATION, 3),
        (Tag.CREDENTIAL_VALUE, STRUCTURE, value),
    ]
    return Tag.AUTHENTICATION, STRUCTURE, [(Tag.CREDENTIAL, STRUCTURE, inner)]


def ask(client: Client, items: Sequence[tuple[int, list[Item]]], *header: Item) -> tuple[Challenge, list[Answer]]:
    """The first half of the handshake; the server must challenge."""
    fields, answers = client.message(client.frame(items, *capable(), *header))
    challenge = challenge_of(fields)
    assert challenge is not None, answers
    return challenge, answers


def covering(client: Client, challenge: Challenge, recipient: bytes = b"", size: int = 64) -> bytes:
    """What evidence has to cover."""
    return report_data(challenge.value, recipient, client.public_key, size)


def wrapping_to(client: Client, recipient: bytes) -> Client:
    """The client, which asks for releases to this public key."""
    extension = Tag.MESSAGE_EXTENSION, STRUCTURE, unbind(recipient_extension(recipient), client.version)
    return replace(client, extensions=[extension])


def attested(
    client: Client,
    items: Sequence[tuple[int, list[Item]]],
    *,
    kind: str = "tpm",
    make: Maker = tpm,
    header: Sequence[Item] = (),
    recipient: bytes = b"",
) -> list[Answer]:
    """The whole handshake -> the answers to the second message."""
    client = wrapping_to(client, recipient) if recipient else client
    challenge, _ = ask(client, items, *header)
    shown = credential(kind, challenge, make(covering(client, challenge, recipient)))
    return client.batch(items, *capable(), shown, *header)


def get(uid: str) -> tuple[int, list[Item]]:
    """The batch item of a Get."""
    return Operation.GET, [uid_item(uid)]


def get_attested(client: Client, uid: str, **options: Any) -> Answer:
    (answer,) = attested(client, [(Operation.GET, [uid_item(uid)])], **options)
    return answer
