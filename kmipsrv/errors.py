"""The one error that becomes a KMIP answer, and the few subclasses that somebody catches.

An error carries a domain `Cause`, not a Result Reason: the versions of the standard name the same mishap differently, and
`spec/reasons.py` alone knows how. The message is written for the client and never holds key material, foreign exception
texts or anything about objects that the client may not see.
"""

from __future__ import annotations

import enum


class Cause(enum.Enum):
    """What went wrong, in the words of KMIP 2.1 §11.48 Result Reason where it has one."""

    # the message
    INVALID_MESSAGE = enum.auto()
    CODEC_ERROR = enum.auto()
    UNSUPPORTED_PROTOCOL_VERSION = enum.auto()
    OPERATION_NOT_SUPPORTED = enum.auto()
    FEATURE_NOT_SUPPORTED = enum.auto()
    RESPONSE_TOO_LARGE = enum.auto()
    MISSING_DATA = enum.auto()
    INVALID_FIELD = enum.auto()
    INVALID_DATA_TYPE = enum.auto()
    UNKNOWN_ENUMERATION = enum.auto()
    UNKNOWN_TAG = enum.auto()
    UNKNOWN_MESSAGE_EXTENSION = enum.auto()
    NUMERIC_RANGE = enum.auto()
    SERVER_LIMIT_EXCEEDED = enum.auto()
    GENERAL_FAILURE = enum.auto()
    INTERNAL_SERVER_ERROR = enum.auto()
    # who asks
    AUTHENTICATION_NOT_SUCCESSFUL = enum.auto()
    PERMISSION_DENIED = enum.auto()
    NOT_AUTHORISED = enum.auto()
    ATTESTATION_REQUIRED = enum.auto()
    ATTESTATION_FAILED = enum.auto()
    INVALID_TICKET = enum.auto()
    TICKET_USED_UP = enum.auto()
    LOGIN_USED_UP = enum.auto()
    BAD_PASSWORD = enum.auto()
    # objects and their state
    OBJECT_NOT_FOUND = enum.auto()
    OBJECT_DESTROYED = enum.auto()
    OBJECT_ARCHIVED = enum.auto()
    OBJECT_ALREADY_EXISTS = enum.auto()
    INVALID_OBJECT_TYPE = enum.auto()
    ILLEGAL_OBJECT_TYPE = enum.auto()
    WRONG_KEY_LIFECYCLE_STATE = enum.auto()
    ILLEGAL_OPERATION = enum.auto()
    SENSITIVE = enum.auto()
    NOT_EXTRACTABLE = enum.auto()
    USAGE_LIMIT_EXCEEDED = enum.auto()
    UNKNOWN_OBJECT_GROUP = enum.auto()
    PROTECTION_STORAGE_UNAVAILABLE = enum.auto()
    PRIVATE_PROTECTION_STORAGE_UNAVAILABLE = enum.auto()
    PUBLIC_PROTECTION_STORAGE_UNAVAILABLE = enum.auto()
    CONSTRAINT_VIOLATION = enum.auto()
    CIRCULAR_LINK = enum.auto()
    DUPLICATE_PROCESS_REQUEST = enum.auto()
    # attributes
    ATTRIBUTE_NOT_FOUND = enum.auto()
    ATTRIBUTE_INSTANCE_NOT_FOUND = enum.auto()
    ATTRIBUTE_READ_ONLY = enum.auto()
    READ_ONLY_ATTRIBUTE = enum.auto()
    ATTRIBUTE_SINGLE_VALUED = enum.auto()
    MULTI_VALUED_ATTRIBUTE = enum.auto()
    UNSUPPORTED_ATTRIBUTE = enum.auto()
    INVALID_ATTRIBUTE = enum.auto()
    INVALID_ATTRIBUTE_VALUE = enum.auto()
    NON_UNIQUE_NAME_ATTRIBUTE = enum.auto()
    INDEX_OUT_OF_BOUNDS = enum.auto()
    APPLICATION_NAMESPACE_NOT_SUPPORTED = enum.auto()
    # key material and cryptography
    KEY_FORMAT_TYPE_NOT_SUPPORTED = enum.auto()
    KEY_COMPRESSION_TYPE_NOT_SUPPORTED = enum.auto()
    KEY_WRAP_TYPE_NOT_SUPPORTED = enum.auto()
    KEY_VALUE_NOT_PRESENT = enum.auto()
    ENCODING_OPTION_ERROR = enum.auto()
    CRYPTOGRAPHIC_FAILURE = enum.auto()
    BAD_CRYPTOGRAPHIC_PARAMETERS = enum.auto()
    UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS = enum.auto()
    INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK = enum.auto()
    MISSING_INITIALIZATION_VECTOR = enum.auto()
    INVALID_CSR = enum.auto()
    INVALID_CORRELATION_VALUE = enum.auto()
    INVALID_ASYNCHRONOUS_CORRELATION_VALUE = enum.auto()
    OPERATION_CANCELED_BY_REQUESTER = enum.auto()
    WRAPPING_OBJECT_ARCHIVED = enum.auto()
    WRAPPING_OBJECT_DESTROYED = enum.auto()
    WRAPPING_OBJECT_NOT_FOUND = enum.auto()
    PKCS_11_CODEC_ERROR = enum.auto()
    PKCS_11_INVALID_FUNCTION = enum.auto()
    PKCS_11_INVALID_INTERFACE = enum.auto()


class KmipError(Exception):
    """A refusal with its cause and a message for the client. What is private goes into `__cause__` and the log."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause
        self.message = message


class TTLVError(KmipError):
    """The bytes are not TTLV (KMIP 2.1 §9.1)."""

    def __init__(self, message: str) -> None:
        super().__init__(Cause.CODEC_ERROR, message)


class TokenUnavailable(KmipError):
    """The PKCS#11 token did not answer; the request may be tried again."""

    def __init__(self, message: str = "the key store's token is not available; try again later") -> None:
        super().__init__(Cause.GENERAL_FAILURE, message)


class StoreUnavailable(KmipError):
    """The database failed in a way that may have undone the transaction: everything in it fails together."""

    def __init__(self, message: str = "the object store is not available; try again later") -> None:
        super().__init__(Cause.GENERAL_FAILURE, message)


class StoreConflict(StoreUnavailable):
    """Somebody else wrote first and the transaction is undone; it may be tried again from its beginning."""


class ConfigError(Exception):
    """The configuration is wrong; the message names the path inside the file, the mend and the accepted values."""
