"""The certification authority that Certify and Re-certify issue with (KMIP 2.1 §6.1.6, §6.1.45), and the anchor of Validate.

There is one for each trust domain of clients (`Identity.domain`): clients that may not know of one another get no common
root. It is made with the first certificate that the domain asks for, and is neither the throw-away authority of
`kmipsrv init` nor any other that signs TLS certificates: a certificate issued here opens no connection to this server.

Key and certificate are one record of the store, sealed by the keyring like a managed object and opened through the gate for
use on the server only. The key never leaves; the certificate is not a managed object.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from kmipsrv.crypto import certify, formats, keygen
from kmipsrv.crypto.certify import Authority, Request
from kmipsrv.domain.binding import Binding
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.enums import CryptographicAlgorithm, KeyFormatType
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import BYTE_STRING, decode_all, encode_all

RECORD = "certification authority"
_LIFE = timedelta(days=20 * 365)
_CERTIFICATE_LIFE = timedelta(days=365)  # where no Deactivation Date says otherwise
_KEY_BITS = 3072  # SP 800-57 part 1: 128 bits of strength
_LAST_DATE = 253_402_300_799  # GeneralizedTime ends with the year 9999


def authority(ctx: Context) -> Authority:
    """The authority of the caller's trust domain; made if there is none yet."""
    found = _read(ctx)
    if found is None:
        ctx.work.lock()  # or two processes would make two
        found = _read(ctx) or _make(ctx)
    return found


def anchors(ctx: Context) -> list[bytes]:
    """The certificates (DER) that a chain has to end in to be Valid."""
    found = _read(ctx)
    return [] if found is None else [found.certificate]


def issue(ctx: Context, request: Request, bag: AttributeBag) -> bytes:
    """A certificate (DER) for a request; it lasts from the Activation Date or now to the Deactivation Date or for a year.

    Raises KmipError(INVALID_CSR | …)."""
    start = moment(bag.get(Tag.ACTIVATION_DATE, ctx.now))
    end = bag.get(Tag.DEACTIVATION_DATE)
    return certify.issue(
        request,
        authority(ctx),
        serial_number=_serial_number(ctx),
        not_before=start,
        not_after=start + _CERTIFICATE_LIFE if end is None else moment(end),
        usage=bag.get(Tag.CRYPTOGRAPHIC_USAGE_MASK),
    )


def moment(seconds: int) -> datetime:
    """A Date-Time as certificates have it. Raises KmipError(INVALID_ATTRIBUTE_VALUE) outside of their years."""
    if not 0 <= seconds <= _LAST_DATE - int(_CERTIFICATE_LIFE.total_seconds()):
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, "no certificate can have this date")
    return datetime.fromtimestamp(seconds, UTC)


def _binding(ctx: Context) -> Binding:
    """What the record's seal is bound to: object type 0, so that no client's object can be taken for it."""
    return Binding(f"{RECORD} {ctx.identity.domain}", 0, "", RECORD, sensitive=True)


def _read(ctx: Context) -> Authority | None:
    record = ctx.work.read(RECORD, ctx.identity.domain)
    if record is None:
        return None
    plaintext = ctx.open_record(record, _binding(ctx))
    kept: dict[int, Any] = {tag: value for tag, _, value in decode_all(plaintext)}
    return Authority(
        kept[Tag.CERTIFICATE_VALUE], formats.load_private(KeyFormatType.PKCS_8, kept[Tag.KEY_MATERIAL], check=False)
    )


def _make(ctx: Context) -> Authority:
    key = keygen.generate_pair(CryptographicAlgorithm.RSA, _KEY_BITS)
    now = moment(ctx.now)
    domain = ctx.identity.domain
    certificate = certify.self_signed(
        certify.common_name(f"kmipsrv certification authority of {domain}"),
        key,
        serial_number=_serial_number(ctx),
        not_before=now - timedelta(days=1),  # clocks of those who check it
        not_after=now + _LIFE,
    )
    plaintext = encode_all(
        [
            (Tag.CERTIFICATE_VALUE, BYTE_STRING, certificate),
            (Tag.KEY_MATERIAL, BYTE_STRING, formats.dump_private(key, KeyFormatType.PKCS_8)),
        ]
    )
    ctx.work.write(RECORD, domain, ctx.keyring.seal(plaintext, _binding(ctx)))
    return Authority(certificate, key)


def _serial_number(ctx: Context) -> int:
    """RFC 5280 §4.1.2.2: positive, at most 20 octets; random, so that nobody can foresee it."""
    return int.from_bytes(ctx.random(16), "big") >> 1 | 1
