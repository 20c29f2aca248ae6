"""TPM 2.0 quotes (TCG TPM 2.0 Library, Part 2 Structures §10.12.8 TPMS_ATTEST; Part 3 Commands §18.4 TPM2_Quote).

1. structure  A TPMS_ATTEST of type quote made by a TPM (TPM_GENERATED_VALUE) and a TPMT_SIGNATURE, each to the last byte.
2. ak         The attestation key is enrolled: its public key was given as an endorsement, or an attestation key
              certificate for it leads to an anchor at `now`. The evidence's own word for it counts for nothing.
3. signature  RSASSA, RSAPSS or ECDSA over the attested bytes, with SHA-256 or better.
4. pcrs       The PCR values, where there are any, hash to the attested digest, in the order of the selection.
5. nonce      extraData is the nonce, where one is given.

An endorsement key (EK) certificate vouches for a TPM, not for a quote: an EK cannot sign. What ties an attestation key to
an EK is credential activation, an interactive protocol (Part 1 §24) that belongs to enrolment; its result is the enrolled
public key of step 2.

Two forms of evidence are read: JSON as Trustee's agents send it, {"ak_public", "ak_certificate"?, "tpm_quote":
{"message", "signature", "pcrs"?}} with base64, base64url, hexadecimal or arrays of numbers for the bytes, for the key a
SubjectPublicKeyInfo or a TPM's own TPMT_PUBLIC or TPM2B_PUBLIC, and for "pcrs" either a list by index or {bank: {index:
value}}; and go-tpm-tools' `attest.Attestation` protocol buffer.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kmipsrv.release.canonical import Json, loads
from kmipsrv.release.endorsements import Endorsements, certificates_of_pem, pem_blocks
from kmipsrv.release.evidence import MAX_EVIDENCE, Claims, bound_nonce, whole
from kmipsrv.release.refusal import Refused
from kmipsrv.release.text import decoded
from kmipsrv.release.verifiers import protobuf
from kmipsrv.release.verifiers.certificate import Certificate, PublicKey, public_key_from_spki, spki_of
from kmipsrv.release.verifiers.x509chain import build_path, path_claims

GENERATED: Final = 0xFF544347  # TPM_GENERATED_VALUE
ATTEST_QUOTE: Final = 0x8018  # TPM_ST_ATTEST_QUOTE
RSASSA, RSAPSS, ECDSA = 0x0014, 0x0016, 0x0018  # TPM_ALG_ID (Part 2 §6.3)
_TPM_ALG_RSA, _TPM_ALG_ECC, _TPM_ALG_NULL = 0x0001, 0x0023, 0x0010
_AIK_CERTIFICATE: Final = "2.23.133.8.3"  # tcg-kp-AIKCertificate, TCG Credential Profiles §3.2.16

# TPM_ALG_ID -> name of the bank, size of a value
BANKS: Final = {
    0x0004: ("sha1", 20),
    0x000B: ("sha256", 32),
    0x000C: ("sha384", 48),
    0x000D: ("sha512", 64),
    0x0012: ("sm3_256", 32),
    0x0027: ("sha3_256", 32),
    0x0028: ("sha3_384", 48),
    0x0029: ("sha3_512", 64),
}
_SIGNING_HASHES: dict[int, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    0x000B: hashes.SHA256,
    0x000C: hashes.SHA384,
    0x000D: hashes.SHA512,
}
_CURVES: dict[int, type[ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1]] = {
    # TPM_ECC_CURVE
    0x0003: ec.SECP256R1,
    0x0004: ec.SECP384R1,
    0x0005: ec.SECP521R1,
}
_MAX_SELECTIONS: Final = 8
_MAX_PCRS: Final = 32

Pcrs = Mapping[str, Mapping[int, bytes]]  # bank -> index -> value


@dataclass(frozen=True, slots=True)
class Attest:
    """A TPMS_ATTEST that carries a TPMS_QUOTE_INFO."""

    qualified_signer: bytes
    extra_data: bytes
    clock: int
    reset_count: int
    restart_count: int
    safe: bool
    firmware_version: int
    selections: tuple[tuple[str, tuple[int, ...]], ...]  # bank, indices
    pcr_digest: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """A TPMT_SIGNATURE: `value` is DER for ECDSA."""

    scheme: int
    hash_algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512
    value: bytes


@dataclass(frozen=True, slots=True)
class Quote:
    """What a TPM made and what was sent with it."""

    message: bytes
    signature: bytes
    pcrs: Pcrs | Sequence[bytes] | None  # by bank, or a list of the one bank that is selected


def verify(evidence: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None = None) -> Claims:
    """The steps above. Where a protocol buffer carries quotes over several banks, all of them are verified."""
    quotes, key, certificates = _read(evidence)
    parsed = [(quote, parse_attest(quote.message), parse_signature(quote.signature)) for quote in quotes]  # 1.
    key, provenance = _trusted_key(key, certificates, endorsements, now)  # 2.
    attested: dict[str, dict[int, bytes]] = {}
    for quote, attest, signature in parsed:
        check_signature(quote.message, signature, key)  # 3.
        for bank, row in check_pcrs(quote.pcrs, attest, signature.hash_algorithm).items():  # 4.
            attested.setdefault(bank, {}).update(row)
        bound_nonce(nonce, attest.extra_data)  # 5.
    attest = parsed[-1][1]
    if any(other.extra_data != attest.extra_data for _, other, _ in parsed):
        raise Refused("nonce", "the quotes were made for different challenges")
    return provenance | {
        "tee": "tpm",
        "measurement": attest.pcr_digest.hex(),
        "nonce": attest.extra_data.hex(),
        "report_data": attest.extra_data.hex(),
        **pcr_claims(attested),
        "attestation_key": hashlib.sha256(spki_of(key)).hexdigest(),
        "versions": {"firmware": f"{attest.firmware_version:016x}"},
        "raw": attest_claims(attest),
    }


# --- the evidence -------------------------------------------------------------------------------------------------


def octets(value: Json) -> bytes:
    """A byte string in JSON: an array of numbers, or hexadecimal, base64 or base64url text. Raises ValueError."""
    if isinstance(value, list):
        try:
            return bytes(value)
        except TypeError as error:
            raise ValueError("not an array of octets") from error
    if not isinstance(value, str):
        raise ValueError("not a byte string")
    raw = value.encode("ascii")
    content = decoded(raw)
    if content is raw and raw:
        raise ValueError("neither hexadecimal nor base64")
    return content


def quote_from_json(value: Json) -> tuple[bytes, bytes, Pcrs | Sequence[bytes] | None]:
    """message, signature and PCRs of a quote as agents write it in JSON. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("the quote is not an object")
    pcrs = value.get("pcrs")
    values: Pcrs | Sequence[bytes] | None = None
    if isinstance(pcrs, list):
        values = [b"" if pcr is None else octets(pcr) for pcr in pcrs[: _MAX_PCRS + 1]]
    elif isinstance(pcrs, dict):
        values = {bank: {int(index): octets(pcr) for index, pcr in row.items()} for bank, row in pcrs.items()}
    elif pcrs is not None:
        raise ValueError("pcrs is neither a list nor an object")
    return octets(value.get("message")), octets(value.get("signature")), values


def _read(evidence: bytes) -> tuple[list[Quote], PublicKey | None, list[Certificate]]:
    """-> quotes, the attestation key that is named, certificates that came along."""
    try:
        if evidence.lstrip()[:1] == b"{":
            return _read_json(loads(evidence, limit=MAX_EVIDENCE))
        return _read_attestation(evidence)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused("structure", "neither quote JSON nor an attestation protocol buffer") from error


def _read_json(value: Json) -> tuple[list[Quote], PublicKey | None, list[Certificate]]:
    key = _attestation_key(value["ak_public"]) if "ak_public" in value else None
    certificates = []
    if (certificate := value.get("ak_certificate")) is not None:
        if isinstance(certificate, str) and "-----BEGIN" in certificate:
            certificates = certificates_of_pem(certificate.encode("ascii"), 8)
        else:
            certificates = [Certificate(octets(certificate))]
    return [Quote(*quote_from_json(value.get("tpm_quote", value.get("quote"))))], key, certificates


def _attestation_key(value: Json) -> PublicKey:
    if isinstance(value, str) and "-----BEGIN PUBLIC KEY-----" in value:
        ((_, content),) = pem_blocks(value.encode("ascii"), 1)
    else:
        content = octets(value)
    if content[:1] == b"\x30":
        return public_key_from_spki(content)
    if len(content) == 2 + int.from_bytes(content[:2], "big"):  # TPM2B_PUBLIC: a size, then the TPMT_PUBLIC
        content = content[2:]
    return _key_of_public_area(content)


def _read_attestation(evidence: bytes) -> tuple[list[Quote], PublicKey | None, list[Certificate]]:
    """go-tpm-tools, proto/attest.proto: Attestation{1 ak_pub, 2 quotes, 6 ak_cert, 7 intermediate_certs} and
    proto/tpm.proto: Quote{1 quote, 2 raw_sig, 3 pcrs}, PCRs{1 hash, 2 map<uint32, bytes>}."""
    message = protobuf.parse(evidence)
    quotes = []
    for content in message.octets(2):
        quote = protobuf.parse(content)
        pcrs = protobuf.parse(quote.octet(3))
        bank = BANKS[pcrs.number(1)][0]
        entries = [protobuf.parse(entry) for entry in pcrs.octets(2)]
        values = {entry.number(1): entry.octet(2) for entry in entries}
        if len(values) != len(entries):
            raise ValueError("a PCR stands twice")
        quotes.append(Quote(quote.octet(1), quote.octet(2), {bank: values}))
    if not 1 <= len(quotes) <= len(BANKS):
        raise ValueError("no quote, or too many")
    raw = message.octets(1)
    certificates = [Certificate(content) for content in (*message.octets(6), *message.octets(7)) if content]
    return quotes, _key_of_public_area(raw[0]) if raw else None, certificates


class _Reader:
    """Big-endian fields of a TPM structure; raises Refused("structure") where there are too few bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.offset:
            raise Refused("structure", "a TPM structure is truncated")
        self.offset += size
        return self.data[self.offset - size : self.offset]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def sized(self) -> bytes:
        """A TPM2B: 16-bit size, then the bytes."""
        return self.take(self.number(2))

    def end(self) -> None:
        if self.offset != len(self.data):
            raise Refused("structure", "bytes follow a TPM structure")


def _key_of_public_area(data: bytes) -> PublicKey:
    """A TPMT_PUBLIC (Part 2 §12.2.4) of a signing key as a public key. Raises ValueError."""
    reader = _Reader(data)
    kind, _name_algorithm, _attributes, _policy = reader.number(2), reader.number(2), reader.number(4), reader.sized()
    if reader.number(2) != _TPM_ALG_NULL:  # symmetric: only storage keys have one
        raise ValueError("not a signing key")
    if reader.number(2) != _TPM_ALG_NULL:
        reader.number(2)  # the scheme's hash
    if kind == _TPM_ALG_RSA:
        reader.number(2)  # key bits
        exponent = reader.number(4) or 65537  # "a value of zero indicates that the exponent is the default of 2^16 + 1"
        modulus = int.from_bytes(reader.sized(), "big")
        reader.end()
        return public_key_from_spki(spki_of(rsa.RSAPublicNumbers(exponent, modulus).public_key()))
    if kind == _TPM_ALG_ECC:
        curve = _CURVES[reader.number(2)]()
        if reader.number(2) != _TPM_ALG_NULL:  # kdf
            reader.number(2)
        x, y = int.from_bytes(reader.sized(), "big"), int.from_bytes(reader.sized(), "big")
        reader.end()
        return public_key_from_spki(spki_of(ec.EllipticCurvePublicNumbers(x, y, curve).public_key()))
    raise ValueError("unknown kind of attestation key")


def parse_attest(message: bytes) -> Attest:
    """Step 1 for the attested structure. Raises Refused("structure")."""
    reader = _Reader(message)
    if reader.number(4) != GENERATED:
        # Part 2 §6.2: a TPM never signs external data that begins with this value, so nothing else can pass for a quote
        raise Refused("structure", "the attested structure was not made by a TPM")
    if reader.number(2) != ATTEST_QUOTE:
        raise Refused("structure", "the attested structure is not a quote")
    qualified_signer, extra_data = reader.sized(), reader.sized()
    clock, reset_count, restart_count, safe = struct.unpack(">QIIB", reader.take(17))
    firmware_version = reader.number(8)
    selections = []
    count = reader.number(4)
    if count > _MAX_SELECTIONS:
        raise Refused("structure", "too many PCR selections")
    for _ in range(count):
        bank = BANKS.get(reader.number(2))
        if bank is None:
            raise Refused("structure", "unknown PCR bank")
        bitmap = int.from_bytes(reader.take(reader.number(1)), "little")
        selections.append((bank[0], tuple(index for index in range(bitmap.bit_length()) if bitmap >> index & 1)))
    pcr_digest = reader.sized()
    reader.end()
    return Attest(
        qualified_signer,
        extra_data,
        clock,
        reset_count,
        restart_count,
        bool(safe),
        firmware_version,
        tuple(selections),
        pcr_digest,
    )


def parse_signature(content: bytes) -> Signature:
    """Step 1 for a TPMT_SIGNATURE (Part 2 §11.3.4). Raises Refused("structure")."""
    reader = _Reader(content)
    scheme = reader.number(2)
    algorithm = _SIGNING_HASHES.get(reader.number(2))
    if algorithm is None:
        raise Refused("structure", "the signature's hash algorithm is not allowed")
    if scheme in (RSASSA, RSAPSS):
        value = reader.sized()
    elif scheme == ECDSA:
        r, s = int.from_bytes(reader.sized(), "big"), int.from_bytes(reader.sized(), "big")
        value = encode_dss_signature(r, s)
    else:
        raise Refused("structure", "unknown signature scheme")
    reader.end()
    return Signature(scheme, algorithm(), value)


# --- the steps ----------------------------------------------------------------------------------------------------


def _trusted_key(
    named: PublicKey | None, certificates: Sequence[Certificate], endorsements: Endorsements, now: datetime.datetime
) -> tuple[PublicKey, dict[str, Json]]:
    """Step 2. Evidence that names no key can only be of the one key that is enrolled."""
    enrolled = {spki_of(key): key for key in endorsements.keys}
    if named is None and certificates:
        named = certificates[0].usable_key
    if named is None:
        if len(enrolled) != 1:
            raise Refused("ak", "the evidence names no attestation key")
        (key,) = enrolled.values()
        return key, {}
    spki = spki_of(named)
    if spki in enrolled:
        return enrolled[spki], {}
    problem: Refused | None = None
    for certificate in (*certificates, *endorsements.certificates):
        key_of_certificate = certificate.usable_key
        if certificate.is_ca or key_of_certificate is None or spki_of(key_of_certificate) != spki:
            continue
        try:
            _check_ak_certificate(certificate)
            candidates = (*certificates, *endorsements.certificates)
            path = build_path(certificate, candidates, endorsements.roots, now, endorsements.crls)
        except Refused as refused:
            problem = refused
            continue
        return named, path_claims(path)
    raise Refused("ak", problem.reason if problem else "the attestation key is not enrolled")


def _check_ak_certificate(certificate: Certificate) -> None:
    """A certificate that says what its key is for must say attestation."""
    usage = certificate.key_usage
    if usage is not None and not usage.digital_signature:
        raise Refused("ak", "the certificate's key may not sign")
    purposes = certificate.extended_key_usage
    if purposes is not None and _AIK_CERTIFICATE not in purposes:
        raise Refused("ak", "the certificate is not for an attestation key")


def check_signature(message: bytes, signature: Signature, key: PublicKey) -> None:
    """Step 3. Raises Refused("signature")."""
    algorithm = signature.hash_algorithm
    try:
        if isinstance(key, rsa.RSAPublicKey) and signature.scheme == RSASSA:
            key.verify(signature.value, message, padding.PKCS1v15(), algorithm)
        elif isinstance(key, rsa.RSAPublicKey) and signature.scheme == RSAPSS:
            # Part 1 §B.7: the salt is as long as the hash, or, in older TPMs, as long as the key allows
            pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO)
            key.verify(signature.value, message, pss, algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and signature.scheme == ECDSA:
            key.verify(signature.value, message, ec.ECDSA(algorithm))
        else:
            raise Refused("signature", "the scheme does not fit the attestation key")
    except InvalidSignature as error:
        raise Refused("signature", "the signature does not verify") from error


def check_pcrs(
    pcrs: Pcrs | Sequence[bytes] | None, attest: Attest, algorithm: hashes.HashAlgorithm
) -> dict[str, dict[int, bytes]]:
    """Step 4: the attested PCR values by bank; values that are not selected are not attested and left out.

    Part 3 §18.4: the digest is made with the hash algorithm of the signing scheme, over the selected values in the order
    of the selection. Raises Refused("pcrs").
    """
    if pcrs is None:
        return {}
    if not isinstance(pcrs, Mapping):
        if len(attest.selections) != 1:
            raise Refused("pcrs", "values of several banks are selected, but the values name no bank")
        pcrs = {attest.selections[0][0]: dict(enumerate(pcrs))}
    sizes = dict(BANKS.values())
    attested: dict[str, dict[int, bytes]] = {}
    digest = hashlib.new(algorithm.name)
    for bank, indices in attest.selections:
        for index in indices:
            value = pcrs.get(bank, {}).get(index)
            if value is None or len(value) != sizes[bank]:
                raise Refused("pcrs", "a selected PCR is missing or has the wrong size")
            digest.update(value)
            attested.setdefault(bank, {})[index] = value
    if not hmac.compare_digest(digest.digest(), attest.pcr_digest):
        raise Refused("pcrs", "the PCR values are not the attested ones")
    return attested


def pcr_claims(attested: Mapping[str, Mapping[int, bytes]]) -> dict[str, Json]:
    """Attested values as the claim "pcrs": {bank: {index: hexadecimal}}; none where no values came along."""
    banks: dict[str, Json] = {
        bank: {str(index): value.hex() for index, value in sorted(row.items())} for bank, row in attested.items()
    }
    return {"pcrs": banks} if banks else {}


def attest_claims(attest: Attest) -> dict[str, Json]:
    """The raw claims of a quote."""
    return {
        "qualified_signer": attest.qualified_signer.hex(),
        "extra_data": attest.extra_data.hex(),
        "clock": whole(attest.clock),
        "reset_count": attest.reset_count,
        "restart_count": attest.restart_count,
        "safe": attest.safe,
        "firmware_version": f"{attest.firmware_version:016x}",
        "selections": [{"bank": bank, "pcrs": list(indices)} for bank, indices in attest.selections],
        "pcr_digest": attest.pcr_digest.hex(),
    }
