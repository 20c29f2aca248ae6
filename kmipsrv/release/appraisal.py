"""The Attestation credentials of one request message (KMIP 2.1 §9.11), verified once for all its items.

1. form       At most `MOST` credentials, each of a type that this server verifies, with its data in the field that the type
              uses: raw evidence is an Attestation Measurement, a token an Attestation Assertion.
2. nonce      The nonce is one of this deployment, for this client, and in force (`nonces.py`, steps form, mac, time).
3. single     The nonce has not been used before. It is used up by this message, whatever comes of it.
4. evidence   The evidence is authentic (`evidence.py`), and what it covers is `recipient.report_data` over the nonce's value,
              the recipient's key and the key of the client's certificate; or, where the configuration accepts that,
              the bare value.
5. recipient  The key that a release is wrapped to is one that the evidence binds.

Whether the nonce was handed out for an object is looked at when that object is asked for.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from kmipsrv.domain.attestation import Attestation, Presented
from kmipsrv.release import nonces
from kmipsrv.release.canonical import NotJson, dumps
from kmipsrv.release.evidence import NONCE_SIZES, Claims, Endorsements, verify
from kmipsrv.release.facts import TOKENS
from kmipsrv.release.recipient import bound_recipient, load_recipient, report_data, same_recipient
from kmipsrv.release.refusal import Refused

MOST: Final = 4
ANY_SIZE: Final = (64, 32)


@dataclass(frozen=True, slots=True)
class Verified:
    """One credential that holds."""

    type: str
    nonce: nonces.Nonce
    claims: Claims
    recipient: bytes
    """SubjectPublicKeyInfo of the key that the evidence binds; empty where it binds none that can be wrapped to."""

    def of_scope(self, key: bytes, message: Attestation, scope: str, now: datetime.datetime) -> None:
        """Whether its nonce was handed out for an object. Raises Refused("scope")."""
        nonces.verify(key, self.nonce.id, self.nonce.value, identity=message.client, scope=scope, now=now)


def evidence_of(presented: Presented) -> bytes:
    """Whatever evidence a credential holds, for its digest."""
    return presented.measurement or presented.assertion or b""


def digest_of(presented: Presented) -> str:
    """SHA-256 of the evidence, in hexadecimal."""
    return hashlib.sha256(evidence_of(presented)).hexdigest()


def use_nonces(
    message: Attestation, key: bytes, now: datetime.datetime, consume: Callable[[bytes, datetime.datetime], None]
) -> None:
    """Steps 2 and 3: use up every nonce of the message. `key` makes nonces. Raises Refused with the step's name."""
    for nonce in _nonces(message, key, now).values():
        consume(nonce.id, nonce.expires)


def verify_credentials(
    message: Attestation,
    key: bytes,
    endorsements: Mapping[str, Endorsements],
    now: datetime.datetime,
    *,
    bare_nonce: bool = False,
) -> tuple[Verified, ...]:
    """Steps 1, 2, 4 and 5 for every credential: all but the use of the nonce. Raises Refused with the step's name."""
    if len(message.presented) > MOST:  # 1.
        raise Refused("form", f"more than {MOST} credentials")
    forms = [_form(presented, endorsements) for presented in message.presented]
    found = _nonces(message, key, now)
    return tuple(
        _verify(message, kind, evidence, found[each.nonce_id], endorsements[kind], now, bare_nonce)
        for each, (kind, evidence) in zip(message.presented, forms, strict=True)
    )


def _nonces(message: Attestation, key: bytes, now: datetime.datetime) -> dict[bytes, nonces.Nonce]:
    """The nonces of the message, by identifier."""
    found: dict[bytes, nonces.Nonce] = {}
    for each in message.presented[:MOST]:
        nonce = nonces.verify(key, each.nonce_id, each.nonce_value, identity=message.client, scope=None, now=now)  # 2.
        found[nonce.id] = nonce
    return found


def _form(presented: Presented, endorsements: Mapping[str, Endorsements]) -> tuple[str, bytes]:
    """-> (type of evidence, evidence)."""
    kind = presented.type
    if kind not in endorsements:
        raise Refused("form", "a type of evidence that nothing is pinned for")
    used, other = presented.measurement, presented.assertion
    if kind in TOKENS:
        used, other = other, used
    if not used or other is not None:
        raise Refused("form", f"{kind} evidence is an Attestation {'Assertion' if kind in TOKENS else 'Measurement'}")
    return kind, used


def _verify(
    message: Attestation,
    kind: str,
    evidence: bytes,
    nonce: nonces.Nonce,
    endorsements: Endorsements,
    now: datetime.datetime,
    bare_nonce: bool,
) -> Verified:
    refusal: Refused | None = None
    for covered, ours in _covered(message, kind, nonce.value, bare_nonce):
        try:
            claims = verify(kind, evidence, endorsements, now, covered)  # 4.
        except Refused as refused:
            if refused.step != "nonce":
                raise
            refusal = refused
            continue
        recipient = _recipient(message, claims, ours)  # 5.
        try:
            dumps(claims)
        except NotJson as error:
            raise Refused("claims", str(error)) from None
        return Verified(kind, nonce, claims, recipient)
    raise refusal or Refused("nonce", "the evidence covers no nonce")


def _covered(message: Attestation, kind: str, value: bytes, bare_nonce: bool) -> Iterator[tuple[bytes, bool]]:
    """What the evidence may cover, and whether that covers the recipient's key as well."""
    sizes = NONCE_SIZES.get(kind, ANY_SIZE)
    for size in sizes:
        yield report_data(value, message.recipient, message.client_key, size), True
    if bare_nonce:
        yield (value if 32 in sizes else value.ljust(sizes[0], b"\0")), False


def _recipient(message: Attestation, claims: Claims, covered: bool) -> bytes:
    bound = "key_binding" in claims
    if not message.recipient:
        try:
            return bound_recipient(claims) if bound else b""
        except Refused:
            return b""  # a key of a kind that nothing is wrapped to: enough for who asks for no wrapping
    if not covered:
        raise Refused("recipient", "the evidence does not cover the recipient's key")
    load_recipient(message.recipient)
    if bound:
        same_recipient(bound_recipient(claims), message.recipient)
    else:
        claims["key_binding"] = {"spki": base64.b64encode(message.recipient).decode(), "source": "report_data"}
    return message.recipient
