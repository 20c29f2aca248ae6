"""Our extensions of the attestation handshake: the names of the types of evidence, and the key that a release goes to.

KMIP has an Attestation Type for a TPM's quote; the others take extension values. It has no field for "wrap it to this
public key, which my evidence covers": a Message Extension (2.1 §9.13) of the request's batch item says it.

    Message Extension
        Vendor Identification  "kmipsrv"
        Criticality Indicator  True
        Vendor Extension
            Public Key         the recipient: Key Block, Key Format Type X.509, Key Material a SubjectPublicKeyInfo (DER)

The answer says it with Key Wrapping Data: Wrapping Method Attested Release (0x80000001), the recipient's
`sha256:…` as Unique Identifier of the encrypting key; the Key Value is a Byte String, the release as
docs/release-policy.md has it ("What the client gets"). As with every wrapped key (2.1 §7.15), the Encoding Option says
what it opens to: No Encoding, the octets of the Key Material; TTLV Encoding, the whole Key Value as TTLV, where the
material is a structure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import AttestationType, EncodingOption, KeyFormatType, WrappingMethod
from kmipsrv.spec.objects import KeyBlock, PublicKey, key_material, plain_key_value
from kmipsrv.spec.schema import bind, unbind
from kmipsrv.spec.structures import EncryptionKeyInformation, KeyWrappingData, MessageExtension
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import NEWEST
from kmipsrv.ttlv.codec import BYTE_STRING, STRUCTURE, decode, encode

VENDOR: Final = "kmipsrv"

# The verifier's name for a type of evidence (release/evidence.py) -> Attestation Type.
EVIDENCE_TYPES: Final = {
    "tpm": AttestationType.TPM_QUOTE,
    "snp": AttestationType.AMD_SEV_SNP_REPORT,
    "tdx": AttestationType.INTEL_TDX_QUOTE,
    "sgx": AttestationType.INTEL_SGX_QUOTE,
    "nitro": AttestationType.AWS_NITRO_DOCUMENT,
    "az-snp-vtpm": AttestationType.AZURE_VTPM_SNP_EVIDENCE,
    "az-tdx-vtpm": AttestationType.AZURE_VTPM_TDX_EVIDENCE,
    "nvidia": AttestationType.NVIDIA_GPU_EVIDENCE,
    "cca": AttestationType.ARM_CCA_TOKEN,
    "ear": AttestationType.EAT_ATTESTATION_RESULT,
    "maa": AttestationType.MICROSOFT_AZURE_ATTESTATION_TOKEN,
    "gcp": AttestationType.GOOGLE_CONFIDENTIAL_SPACE_TOKEN,
    "ita": AttestationType.INTEL_TRUST_AUTHORITY_TOKEN,
    "jwt": AttestationType.JSON_WEB_TOKEN,
}
ASSERTIONS: Final = frozenset(("ear", "maa", "gcp", "ita", "jwt"))
"""A third party's word: it comes as Attestation Assertion, everything else as Attestation Measurement."""


def recipient_extension(spki: bytes) -> MessageExtension:
    """The request for a release to the key whose SubjectPublicKeyInfo is `spki`."""
    block = KeyBlock(key_format_type=KeyFormatType.X_509, key_value=plain_key_value(spki))
    key = Tag.PUBLIC_KEY, STRUCTURE, unbind(PublicKey(key_block=block), NEWEST)
    return MessageExtension(
        vendor_identification=VENDOR, criticality_indicator=True, vendor_extension=(STRUCTURE, [key])
    )


def requested_recipient(extensions: Sequence[MessageExtension]) -> bytes | None:
    """The SubjectPublicKeyInfo that a batch item asks a release to, None where it asks for none.

    Raises KmipError(UNKNOWN_MESSAGE_EXTENSION) for another extension that is critical, INVALID_FIELD for one of ours that
    is malformed or stands twice."""
    ours = [each for each in extensions if each.vendor_identification == VENDOR]
    if any(each.criticality_indicator and each not in ours for each in extensions):
        raise KmipError(Cause.UNKNOWN_MESSAGE_EXTENSION, "Critical Message Extension not recognized")
    if not ours:
        return None
    try:
        (extension,) = ours
        kind, content = extension.vendor_extension or (0, [])
        ((tag, item_kind, fields),) = content
        if (kind, tag, item_kind) != (STRUCTURE, Tag.PUBLIC_KEY, STRUCTURE):
            raise ValueError("not a Public Key")
        block: KeyBlock = bind(PublicKey, fields, NEWEST).key_block
        material = key_material(block)
        if block.key_format_type is not KeyFormatType.X_509 or not isinstance(material, bytes):
            raise ValueError("not a SubjectPublicKeyInfo")
    except (ValueError, TypeError, KmipError) as error:
        raise KmipError(Cause.INVALID_FIELD, "the Vendor Extension is not one recipient's Public Key") from error
    return material


def releasable(block: KeyBlock) -> tuple[EncodingOption, bytes]:
    """-> (how, what) of a Key Block in clear goes into a release. Raises KmipError(KEY_VALUE_NOT_PRESENT | …)."""
    material = key_material(block)
    if isinstance(material, bytes):
        return EncodingOption.NO_ENCODING, material
    assert block.key_value is not None  # or it had no material
    return EncodingOption.TTLV_ENCODING, encode((Tag.KEY_VALUE, *block.key_value))


def released_block(block: KeyBlock, recipient: bytes, release: bytes, encoding: EncodingOption) -> KeyBlock:
    """`block` with its Key Value in the form of a release to the key `recipient` (SubjectPublicKeyInfo)."""
    wrapping = KeyWrappingData(
        wrapping_method=WrappingMethod.ATTESTED_RELEASE,
        encryption_key_information=EncryptionKeyInformation(unique_identifier=key_name(recipient)),
        encoding_option=encoding,
    )
    return replace(block, key_value=(BYTE_STRING, release), key_wrapping_data=wrapping)


def opened_block(block: KeyBlock, plaintext: bytes) -> KeyBlock:
    """The Key Block in clear, from a released one and what its release opened to. Raises KmipError, TTLVError."""
    data = block.key_wrapping_data
    if data is None or data.wrapping_method is not WrappingMethod.ATTESTED_RELEASE:
        raise KmipError(Cause.INVALID_MESSAGE, "the Key Block is not a release")
    if data.encoding_option is EncodingOption.NO_ENCODING:
        value = plain_key_value(plaintext)
    else:
        tag, *rest = decode(plaintext)
        if tag != Tag.KEY_VALUE:
            raise KmipError(Cause.INVALID_MESSAGE, "the release does not hold a Key Value")
        value = (rest[0], rest[1])
    return replace(block, key_value=value, key_wrapping_data=None)


def key_name(spki: bytes) -> str:
    """How a key that is no managed object is named: `sha256:` and the hash of its SubjectPublicKeyInfo."""
    return "sha256:" + hashlib.sha256(spki).hexdigest()
