"""The structures that attributes and messages are made of (KMIP 2.1 §§3, 4, 7, 9), one class each."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from kmipsrv.spec import enums as e
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import (
    AnyEnumeration,
    AnyItem,
    Boolean,
    ByteString,
    DateTimeExtended,
    Identifier,
    Integer,
    LongInteger,
    TextString,
    since,
    wire,
)
from kmipsrv.spec.versions import V1_0, V1_1, V1_2, V1_4, V2_0


@structure
class ProtocolVersion:
    """Protocol Version (2.1 §9.16)."""

    protocol_version_major: Integer
    protocol_version_minor: Integer


@structure
class Name:
    """Name (2.1 §4.32). 3.0 writes its value alone, as a Text String (spec/attribute_codec.py)."""

    name_value: TextString
    name_type: e.NameType


@structure
class AlternativeName:
    """Alternative Name (2.1 §4.2)."""

    alternative_name_value: TextString
    alternative_name_type: e.AlternativeNameType


@structure
class ApplicationSpecificInformation:
    """Application Specific Information (2.1 §4.4). Application Data is optional from 1.3 on."""

    application_namespace: TextString
    application_data: TextString | None = None


@structure
class Link:
    """Link (2.1 §4.31). 3.0 has an attribute for each Link Type instead (spec/attribute_codec.py)."""

    link_type: e.LinkType
    linked_object_identifier: Identifier


@structure
class Digest:
    """Digest (2.1 §4.21)."""

    hashing_algorithm: e.HashingAlgorithm
    digest_value: ByteString | None = None
    key_format_type: Annotated[e.KeyFormatType | None, since(V1_1)] = None


@structure
class UsageLimits:
    """Usage Limits (2.1 §7.40). Total and Count are given in Usage Limits Units."""

    usage_limits_total: LongInteger
    usage_limits_count: LongInteger | None = None
    usage_limits_unit: e.UsageLimitsUnit


@structure
class RevocationReason:
    """Revocation Reason (2.1 §4.47)."""

    revocation_reason_code: e.RevocationReasonCode
    revocation_message: TextString | None = None


@structure
class DeactivationReason:
    """Deactivation Reason (3.0)."""

    deactivation_reason_code: e.DeactivationReasonCode
    deactivation_message: TextString | None = None


@structure
class KeyValueLocation:
    """Key Value Location (2.1 §4.27)."""

    key_value_location_value: TextString
    key_value_location_type: e.KeyValueLocationType


@structure
class RotateName:
    """Rotate Name (2.1 §4.53)."""

    rotate_name_value: TextString
    rotate_name_type: e.RotateNameType


@structure
class CryptographicDomainParameters:
    """Cryptographic Domain Parameters (2.1 §4.14). Qlength in bits."""

    qlength: Integer | None = None
    recommended_curve: e.RecommendedCurve | None = None


@structure
class CryptographicParameters:
    """Cryptographic Parameters (2.1 §4.16). Lengths in bytes."""

    block_cipher_mode: e.BlockCipherMode | None = None
    padding_method: e.PaddingMethod | None = None
    hashing_algorithm: e.HashingAlgorithm | None = None
    key_role_type: e.KeyRoleType | None = None
    digital_signature_algorithm: Annotated[e.DigitalSignatureAlgorithm | None, since(V1_2)] = None
    cryptographic_algorithm: Annotated[e.CryptographicAlgorithm | None, since(V1_2)] = None
    random_iv: Annotated[Boolean | None, since(V1_2)] = None
    iv_length: Annotated[Integer | None, since(V1_2)] = None
    tag_length: Annotated[Integer | None, since(V1_2)] = None
    fixed_field_length: Annotated[Integer | None, since(V1_2)] = None
    invocation_field_length: Annotated[Integer | None, since(V1_2)] = None
    counter_length: Annotated[Integer | None, since(V1_2)] = None
    initial_counter_value: Annotated[Integer | None, since(V1_2)] = None
    salt_length: Annotated[Integer | None, since(V1_4)] = None
    mask_generator: Annotated[e.MaskGenerator | None, since(V1_4)] = None
    mask_generator_hashing_algorithm: Annotated[e.HashingAlgorithm | None, since(V1_4)] = None
    p_source: Annotated[ByteString | None, since(V1_4)] = None
    trailer_field: Annotated[Integer | None, since(V1_4)] = None


@structure
class RNGParameters:
    """RNG Parameters (2.1 §7.36); also the content of the attribute Random Number Generator (§4.46)."""

    rng_algorithm: e.RNGAlgorithm
    cryptographic_algorithm: e.CryptographicAlgorithm | None = None
    cryptographic_length: Integer | None = None
    hashing_algorithm: e.HashingAlgorithm | None = None
    drbg_algorithm: e.DRBGAlgorithm | None = None
    recommended_curve: e.RecommendedCurve | None = None
    fips186_variation: e.FIPS186Variation | None = None
    prediction_resistance: Boolean | None = None


@structure
class X509CertificateIdentifier:
    """X.509 Certificate Identifier (2.1 §4.61): DER."""

    issuer_distinguished_name: ByteString
    certificate_serial_number: ByteString


@structure
class X509CertificateIssuer:
    """X.509 Certificate Issuer (2.1 §4.62): DER."""

    issuer_distinguished_name: ByteString
    issuer_alternative_name: list[ByteString] = field(default_factory=list)


@structure
class X509CertificateSubject:
    """X.509 Certificate Subject (2.1 §4.63): DER."""

    subject_distinguished_name: ByteString
    subject_alternative_name: list[ByteString] = field(default_factory=list)


@structure
class CertificateIdentifier:
    """Certificate Identifier (1.0 §3.9, deprecated since 1.1): texts."""

    issuer: TextString
    serial_number: TextString | None = None


@structure
class CertificateSubject:
    """Certificate Subject (1.0 §3.10, deprecated since 1.1): texts."""

    certificate_subject_distinguished_name: TextString
    certificate_subject_alternative_name: list[TextString] = field(default_factory=list)


@structure
class CertificateIssuer:
    """Certificate Issuer (1.0 §3.11, deprecated since 1.1): texts."""

    certificate_issuer_distinguished_name: TextString
    certificate_issuer_alternative_name: list[TextString] = field(default_factory=list)


@structure
class EncryptionKeyInformation:
    """Encryption Key Information (2.1 §3.3)."""

    unique_identifier: Identifier
    cryptographic_parameters: CryptographicParameters | None = None


@structure
class MACSignatureKeyInformation:
    """MAC/Signature Key Information (2.1 §3.3)."""

    unique_identifier: Identifier
    cryptographic_parameters: CryptographicParameters | None = None


@structure
class KeyWrappingData:
    """Key Wrapping Data (2.1 §3.3). An absent Encoding Option means TTLV Encoding."""

    wrapping_method: e.WrappingMethod
    encryption_key_information: EncryptionKeyInformation | None = None
    mac_signature_key_information: MACSignatureKeyInformation | None = None
    mac_signature: ByteString | None = None
    iv_counter_nonce: ByteString | None = None
    encoding_option: Annotated[e.EncodingOption | None, since(V1_1)] = None


@structure
class KeyWrappingSpecification:
    """Key Wrapping Specification (2.1 §7.18)."""

    wrapping_method: e.WrappingMethod
    encryption_key_information: EncryptionKeyInformation | None = None
    mac_signature_key_information: MACSignatureKeyInformation | None = None
    attribute_name: list[TextString] = field(default_factory=list)
    encoding_option: Annotated[e.EncodingOption | None, since(V1_1)] = None


@structure
class DerivationParameters:
    """Derivation Parameters (2.1 §7.12)."""

    cryptographic_parameters: CryptographicParameters | None = None
    initialization_vector: ByteString | None = None
    derivation_data: list[ByteString] = field(default_factory=list)
    salt: ByteString | None = None
    iteration_count: Integer | None = None


@structure
class Nonce:
    """Nonce (2.1 §9.14)."""

    nonce_id: ByteString
    nonce_value: ByteString


@structure
class Ticket:
    """Ticket (2.1 §7.39)."""

    ticket_type: e.TicketType
    ticket_value: ByteString


@structure
class CredentialValue:
    """Credential Value of every Credential Type (2.1 §9.11, tables 411-416): what a type needs is required by
    identity, not here."""

    username: TextString | None = None
    device_serial_number: Annotated[TextString | None, since(V1_1)] = None
    password: TextString | None = None
    one_time_password: Annotated[TextString | None, since(V2_0)] = None
    timestamp: Annotated[DateTimeExtended | None, wire(Tag.TIME_STAMP, V2_0)] = None
    hashing_algorithm: Annotated[e.HashingAlgorithm | None, since(V2_0)] = None
    hashed_password: Annotated[ByteString | None, since(V2_0)] = None
    device_identifier: Annotated[TextString | None, since(V1_1)] = None
    network_identifier: Annotated[TextString | None, since(V1_1)] = None
    machine_identifier: Annotated[TextString | None, since(V1_1)] = None
    media_identifier: Annotated[TextString | None, since(V1_1)] = None
    nonce: Annotated[Nonce | None, since(V1_2)] = None
    attestation_type: Annotated[AnyEnumeration | None, since(V1_2)] = None  # of the standard or an extension
    attestation_measurement: Annotated[ByteString | None, since(V1_2)] = None
    attestation_assertion: Annotated[ByteString | None, since(V1_2)] = None
    ticket: Annotated[Ticket | None, since(V2_0)] = None


@structure
class Credential:
    """Credential (2.1 §9.11)."""

    credential_type: e.CredentialType
    credential_value: CredentialValue


@structure
class Authentication:
    """Authentication (2.1 §9.4); one Credential in 1.0 and 1.1, several from 1.2 on."""

    credential: list[Credential] = field(default_factory=list)


@structure
class MessageExtension:
    """Message Extension (2.1 §9.13)."""

    vendor_identification: TextString
    criticality_indicator: Boolean
    vendor_extension: AnyItem | None = None


@structure
class ServerInformation:
    """Server Information (2.1 §7.37); 1.x leaves the content to the vendor."""

    server_name: Annotated[TextString | None, since(V2_0)] = None
    server_serial_number: Annotated[TextString | None, since(V2_0)] = None
    server_version: Annotated[TextString | None, since(V2_0)] = None
    server_load: Annotated[TextString | None, since(V2_0)] = None
    product_name: Annotated[TextString | None, since(V2_0)] = None
    build_level: Annotated[TextString | None, since(V2_0)] = None
    build_date: Annotated[TextString | None, since(V2_0)] = None
    cluster_info: Annotated[TextString | None, since(V2_0)] = None
    alternate_failover_endpoints: Annotated[list[TextString], since(V2_0)] = field(default_factory=list)


@structure
class ExtensionInformation:
    """Extension Information (2.1 §7.13)."""

    extension_name: TextString
    extension_tag: Integer | None = None
    extension_type: Annotated[e.ItemType | None, wire(Tag.EXTENSION_TYPE, V2_0)] = None
    extension_type_1x: Annotated[Integer | None, wire(Tag.EXTENSION_TYPE, V1_0, V1_4)] = None
    extension_enumeration: Annotated[Integer | None, since(V2_0)] = None
    extension_attribute: Annotated[Boolean | None, since(V2_0)] = None
    extension_parent_structure_tag: Annotated[Integer | None, since(V2_0)] = None
    extension_description: Annotated[TextString | None, since(V2_0)] = None


@structure
class ProfileVersion:
    """Profile Version (2.1 §7.32)."""

    profile_version_major: Integer
    profile_version_minor: Integer


@structure
class ProfileInformation:
    """Profile Information (2.1 §7.31)."""

    profile_name: e.ProfileName
    profile_version: Annotated[ProfileVersion | None, since(V2_0)] = None
    server_uri: TextString | None = None
    server_port: Integer | None = None


@structure
class ValidationInformation:
    """Validation Information (2.1 §7.41)."""

    validation_authority_type: e.ValidationAuthorityType
    validation_authority_country: TextString | None = None
    validation_authority_uri: TextString | None = None
    validation_version_major: Integer
    validation_version_minor: Integer | None = None
    validation_type: e.ValidationType
    validation_level: Integer
    validation_certificate_identifier: TextString | None = None
    validation_certificate_uri: TextString | None = None
    validation_vendor_uri: TextString | None = None
    validation_profile: list[TextString] = field(default_factory=list)


@structure
class CapabilityInformation:
    """Capability Information (2.1 §7.5)."""

    streaming_capability: Boolean | None = None
    asynchronous_capability: Boolean | None = None
    attestation_capability: Boolean | None = None
    batch_undo_capability: Annotated[Boolean | None, since(V1_4)] = None
    batch_continue_capability: Annotated[Boolean | None, since(V1_4)] = None
    unwrap_mode: e.UnwrapMode | None = None
    destroy_action: e.DestroyAction | None = None
    shredding_algorithm: e.ShreddingAlgorithm | None = None
    rng_mode: e.RNGMode | None = None
    quantum_safe_capability: Annotated[Boolean | None, since(V2_0)] = None


@structure
class ObjectTypes:
    """Object Types (2.1 §7.24)."""

    object_type: list[e.ObjectType] = field(default_factory=list)


@structure
class ObjectGroups:
    """Object Groups (2.1 §7.23)."""

    object_group: list[TextString] = field(default_factory=list)


@structure
class Objects:
    """Objects (2.1 §7.21)."""

    unique_identifier: list[Identifier] = field(default_factory=list)


@structure
class Operations:
    """Operations (2.1 §7.25)."""

    operation: list[e.Operation] = field(default_factory=list)


@structure
class Right:
    """Right (2.1 §7.34)."""

    usage_limits: UsageLimits | None = None
    operations: Operations | None = None
    objects: Objects | None = None
    object_groups: ObjectGroups | None = None


@structure
class Rights:
    """Rights (2.1 §7.35)."""

    right: list[Right] = field(default_factory=list)


@structure
class ProtectionStorageMasks:
    """Protection Storage Masks (2.1 §7.33)."""

    protection_storage_mask: list[e.ProtectionStorageMask] = field(default_factory=list)
