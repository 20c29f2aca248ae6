"""The making of a managed object: which attributes a client may give it, and which the server adds (KMIP 2.1 §4)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.domain.ports import StoredObject
from kmipsrv.domain.settings import Settings
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import RELEASE_POLICY
from kmipsrv.spec.attributes import ATTRIBUTES, Key, key_name
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import CryptographicUsageMask, HashingAlgorithm, KeyFormatType, ObjectType, RNGAlgorithm
from kmipsrv.spec.objects import KeyBlock, encode_object, key_material
from kmipsrv.spec.structures import Digest, RNGParameters, UsageLimits
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import STRUCTURE, encode_all

# The vendor whose attributes are the server's (1.x `y-`, 2.1 §4.60): a client cannot set them.
SERVER_VENDOR = "y"
# What the operating system's generator is, in the standard's terms (2.1 §7.36): Linux' is ChaCha20-based.
SYSTEM_RNG = RNGParameters(rng_algorithm=RNGAlgorithm.UNSPECIFIED)


def check_client_attributes(
    bag: AttributeBag, object_type: ObjectType, settings: Settings, *, rules: str = "CS"
) -> None:
    """Whether a client may give an object of this type these attributes; `rules`: the letters that allow it.

    Raises KmipError(ATTRIBUTE_READ_ONLY | ATTRIBUTE_SINGLE_VALUED | UNSUPPORTED_ATTRIBUTE | INVALID_ATTRIBUTE_VALUE |
    SERVER_LIMIT_EXCEEDED | APPLICATION_NAMESPACE_NOT_SUPPORTED).
    """
    for key in bag:
        values = bag.values(key)
        if len(values) > settings.attribute_instances:
            raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"too many instances of {key_name(key)}")
        check_client_attribute(key, object_type, rules)
        if isinstance(key, Tag):
            if len(values) > 1 and not ATTRIBUTES[key].many:
                raise KmipError(Cause.ATTRIBUTE_SINGLE_VALUED, f"{key_name(key)} has one value only")
            for value in values:
                check_value(key, value)
    check_dates(bag)


def check_client_attribute(key: Key, object_type: ObjectType, rules: str) -> None:
    """Whether the attribute's row has one of the letters of `rules`, for this object type. Raises KmipError."""
    if not isinstance(key, Tag):
        if key[0] == SERVER_VENDOR:
            raise KmipError(Cause.ATTRIBUTE_READ_ONLY, "the attributes of vendor 'y' are the server's")
        if key == RELEASE_POLICY and not {"C", "S"} & set(rules):
            raise KmipError(Cause.ATTRIBUTE_READ_ONLY, "a release policy is changed by an administrator's order only")
        if key != RELEASE_POLICY and _looks_like_ours(*key):
            # A misspelt release policy would guard nothing, without a word.
            raise KmipError(Cause.INVALID_ATTRIBUTE, "the only attribute of vendor 'kmipsrv' is 'Release Policy'")
        return
    row = ATTRIBUTES[key]
    if set(rules).isdisjoint(row.rules):
        raise KmipError(Cause.ATTRIBUTE_READ_ONLY, f"{key_name(key)} is not the client's to set")
    if row.objects is not None and object_type not in row.objects and object_type is not ObjectType.TEMPLATE:
        raise KmipError(Cause.UNSUPPORTED_ATTRIBUTE, f"{object_type.text} objects have no {key_name(key)}")


def _looks_like_ours(vendor: str, name: str) -> bool:
    """Whether an attribute is, or is nearly, one of this server's own vendor; 1.x writes that `x-kmipsrv-NAME`."""
    ours = RELEASE_POLICY[0]
    vendor, name = vendor.strip().casefold(), name.strip().casefold()
    return vendor == ours or (vendor == "x" and (name.startswith(ours) or name.replace("-", " ") == "release policy"))


def check_value(key: Key, value: Any) -> None:
    """Rules about single values. Raises KmipError(INVALID_ATTRIBUTE_VALUE | APPLICATION_NAMESPACE_NOT_SUPPORTED)."""
    if key is Tag.APPLICATION_SPECIFIC_INFORMATION and value.application_data is None:
        # "If the request omits Application Data […] the server SHALL generate it or return an error" (2.1 §4.4).
        raise KmipError(Cause.APPLICATION_NAMESPACE_NOT_SUPPORTED, "the server makes no Application Data of its own")
    if key is Tag.NAME and not value.name_value:
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, "an empty Name")
    if key is Tag.CRYPTOGRAPHIC_LENGTH and value < 0:
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, "a negative Cryptographic Length")
    if isinstance(value, UsageLimits) and (value.usage_limits_total < 0 or (value.usage_limits_count or 0) < 0):
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, "negative Usage Limits")


# (earlier, later): 2.1 §4.40 Process Start Date, §4.41 Protect Stop Date, §4.18 Deactivation Date.
_ORDER = (
    (Tag.ACTIVATION_DATE, Tag.PROCESS_START_DATE),
    (Tag.ACTIVATION_DATE, Tag.PROTECT_STOP_DATE),
    (Tag.ACTIVATION_DATE, Tag.DEACTIVATION_DATE),
    (Tag.PROCESS_START_DATE, Tag.DEACTIVATION_DATE),
    (Tag.PROTECT_STOP_DATE, Tag.DEACTIVATION_DATE),
)


def check_dates(bag: AttributeBag) -> None:
    """ "Neither the Process Start Date nor the Protect Stop Date […] before the Activation Date or after the Deactivation
    Date". Raises KmipError(INVALID_ATTRIBUTE_VALUE)."""
    for earlier, later in _ORDER:
        first, second = bag.get(earlier), bag.get(later)
        if first is not None and second is not None and first > second:
            raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, f"{earlier.text} is after {later.text}")


def combined(first: AttributeBag | None, second: AttributeBag | None) -> AttributeBag:
    """The attributes of both. Of an attribute with one value `second` has the last word; of "multi-instance attributes, the
    union of the values" (2.1 §6.1.9; 1.4 §2.2.6 for Templates) is kept."""
    bag = AttributeBag()
    if first is not None:
        bag.update(first)
    for key in second or ():
        if isinstance(key, Tag) and not ATTRIBUTES[key].many:
            bag.remove(key)
        known = bag.values(key)
        for value in (second or bag).values(key):
            if value not in known:
                bag.add(key, value)
    return bag


def check_quantum_safety(bag: AttributeBag) -> None:
    """A client that wants a Quantum Safe object gets one or an error (2.1 §4.45; QS-M-2 shows the reason).

    Symmetric keys count from 256 bits on (Grover's algorithm halves their strength), pairs if post-quantum."""
    if not bag.get(Tag.QUANTUM_SAFE):
        return
    algorithm, length = bag.get(Tag.CRYPTOGRAPHIC_ALGORITHM), bag.get(Tag.CRYPTOGRAPHIC_LENGTH) or 0
    if algorithm is None or algorithm.name.startswith(("ML_", "SLH_")):
        return
    if algorithm in _NOT_QUANTUM_SAFE or length < 256:
        raise KmipError(Cause.GENERAL_FAILURE, "the object would not be Quantum Safe")


@dataclass(slots=True)
class NewObject:
    """An object about to exist: what the client asked for, what it is made of."""

    object_type: ObjectType
    attributes: AttributeBag
    settings: Settings
    encoded: bytes | None = None
    generated: bool = False  # by this server: Original Creation Date and Random Number Generator are its own
    key_format: KeyFormatType | None = None
    digest: bytes | None = None  # SHA-256 of the material
    default_digest: tuple[KeyFormatType, bytes] | None = (
        None  # the same in the default Key Format Type, if that is another
    )
    policy: str = ""  # id of the release policy: that of the objects it is made from
    server: AttributeBag = field(default_factory=AttributeBag)  # what the server knows of it; overrules the client

    def build(self, unique_identifier: str, owner: str, tenant: str, now: int) -> ManagedObject:
        """The managed object, not sealed and not stored yet."""
        bag = AttributeBag()
        bag.update(self.attributes)
        if self.object_type is not ObjectType.TEMPLATE:
            self._complete(bag, now)
        elif self.settings.lease_time:
            bag.set(Tag.LEASE_TIME, self.settings.lease_time)
        bag.set(Tag.INITIAL_DATE, now)
        bag.set(Tag.LAST_CHANGE_DATE, now)
        bag.update(self.server)
        check_quantum_safety(bag)
        stored = StoredObject(
            unique_identifier=unique_identifier,
            object_type=self.object_type,
            owner=owner,
            tenant=tenant,
            attributes=b"",
            policy=self.policy,
        )
        return ManagedObject(stored, bag)

    def _complete(self, bag: AttributeBag, now: int) -> None:
        """The attributes that an object SHALL always have, and the server's defaults."""
        sensitive, extractable = bool(bag.get(Tag.SENSITIVE, False)), bool(bag.get(Tag.EXTRACTABLE, True))
        bag.set(Tag.SENSITIVE, sensitive)
        bag.set(Tag.ALWAYS_SENSITIVE, sensitive)
        bag.set(Tag.EXTRACTABLE, extractable)
        bag.set(Tag.NEVER_EXTRACTABLE, not extractable)
        if Tag.FRESH not in bag:
            bag.set(Tag.FRESH, True)
        if Tag.OBJECT_GROUP not in bag and self.settings.default_object_group:
            bag.add(Tag.OBJECT_GROUP, self.settings.default_object_group)
        if Tag.CRYPTOGRAPHIC_USAGE_MASK not in bag and self.object_type not in _WITHOUT_USAGE:
            bag.set(Tag.CRYPTOGRAPHIC_USAGE_MASK, CryptographicUsageMask(0))
        if Tag.LEASE_TIME not in bag and self.settings.lease_time:
            bag.set(Tag.LEASE_TIME, self.settings.lease_time)
        bag.set(Tag.PROTECTION_STORAGE_MASK, self.settings.protection_storage_mask)
        if self.generated:
            bag.set(Tag.ORIGINAL_CREATION_DATE, now)
            bag.set(Tag.RANDOM_NUMBER_GENERATOR, SYSTEM_RNG)
        if self.key_format is not None:
            bag.set(Tag.KEY_FORMAT_TYPE, self.key_format)
        if self.digest is not None:
            digest = Digest(hashing_algorithm=HashingAlgorithm.SHA_256, digest_value=self.digest)
            digest.key_format_type = self.key_format
            bag.set(Tag.DIGEST, digest)
        if self.default_digest is not None:
            form, value = self.default_digest
            bag.add(
                Tag.DIGEST,
                Digest(hashing_algorithm=HashingAlgorithm.SHA_256, digest_value=value, key_format_type=form),
            )
        limits = bag.get(Tag.USAGE_LIMITS)
        if limits is not None:
            # "Usage Limits Count […] set by the server to the Usage Limits Total when the object is created" (2.1 §4.59).
            bag.set(
                Tag.USAGE_LIMITS,
                UsageLimits(
                    usage_limits_total=limits.usage_limits_total,
                    usage_limits_count=limits.usage_limits_total,
                    usage_limits_unit=limits.usage_limits_unit,
                ),
            )


def material_digest(material: bytes | list[Any]) -> bytes:
    """SHA-256 of Key Material: its octets, or the encoding of a transparent key's fields."""
    return hashlib.sha256(material if isinstance(material, bytes) else encode_all(material)).digest()


def seal_body(new: NewObject, body: Any) -> NewObject:
    """Give a new object its body (an instance of its class): the bytes to seal, digest and key format."""
    block: KeyBlock | None = getattr(body, "key_block", None)
    new.encoded = encode_object(new.object_type, body)
    if block is not None:
        new.key_format = block.key_format_type
        if block.key_wrapping_data is None and block.key_value is not None:
            new.digest = material_digest(key_material(block))
        elif block.key_value is not None and block.key_value[0] != STRUCTURE:
            new.digest = material_digest(block.key_value[1])
    else:
        octets = getattr(body, "certificate_value", None) or getattr(body, "opaque_data_value", None)
        octets = octets if octets is not None else getattr(body, "certificate_request_value", None)
        if octets is not None:
            new.digest = material_digest(octets)
        if new.object_type is ObjectType.CERTIFICATE:
            # TC-CERTATTR-1 and TC-IMPEXP-5 have Raw, where table 81 of 2.1 has X.509 (docs/errata.md).
            new.key_format = KeyFormatType.RAW
    return new


def set_algorithm(new: NewObject, algorithm: A | None, length: int | None) -> None:
    """What the material says of itself must not contradict the request. Raises KmipError(INVALID_ATTRIBUTE_VALUE)."""
    for tag, found in ((Tag.CRYPTOGRAPHIC_ALGORITHM, algorithm), (Tag.CRYPTOGRAPHIC_LENGTH, length)):
        if found is None:
            continue
        asked = new.attributes.get(tag)
        if asked is not None and asked != found and not same_family(asked, found):
            raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, f"{tag.text} is not that of the material")
        if asked is None:
            new.server.set(tag, found)


_NOT_QUANTUM_SAFE = frozenset((A.RSA, A.DSA, A.DH, A.EC, A.ECDSA, A.ECDH, A.ECMQV, A.ED25519, A.ED448))
_WITHOUT_USAGE = frozenset((ObjectType.OPAQUE_OBJECT, ObjectType.CERTIFICATE_REQUEST))  # 2.1 §4.17
_CURVE_ALGORITHMS = frozenset((A.EC, A.ECDSA, A.ECDH, A.ECMQV))


def same_family(asked: Any, found: Any) -> bool:
    """ECDSA, ECDH and ECMQV keys are EC keys under the name of their use."""
    return isinstance(asked, A) and asked in _CURVE_ALGORITHMS and found in _CURVE_ALGORITHMS
