"""The one boundary where the exceptions of `cryptography` become `KmipError`."""

from __future__ import annotations

from types import TracebackType
from typing import Final

from cryptography import exceptions
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap

from kmipsrv.errors import Cause, KmipError


class NotAuthentic(KmipError):
    """A signature, MAC or tag does not belong to the data. Caught by the verify operations, which answer Invalid."""

    def __init__(self, message: str = "the data is not authentic") -> None:
        super().__init__(Cause.CRYPTOGRAPHIC_FAILURE, message)


_CAUSES: Final[tuple[tuple[type[BaseException], Cause | None, str], ...]] = (
    # None: the cause that the place of the call gives for a value the library finds wrong
    (exceptions.UnsupportedAlgorithm, Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS, "not supported by this server"),
    (exceptions.InvalidKey, Cause.CRYPTOGRAPHIC_FAILURE, "the key does not match"),
    (InvalidUnwrap, Cause.CRYPTOGRAPHIC_FAILURE, "the wrapped key is not intact or the wrapping key is another one"),
    (exceptions.AlreadyFinalized, Cause.CRYPTOGRAPHIC_FAILURE, "the stream is already finished"),
    (exceptions.NotYetFinalized, Cause.CRYPTOGRAPHIC_FAILURE, "the stream is not finished"),
    (exceptions.InternalError, Cause.CRYPTOGRAPHIC_FAILURE, "the cryptographic library refused"),
    (ValueError, None, "the key, the data or the parameters do not fit the algorithm"),
    (TypeError, None, "the key, the data or the parameters do not fit the algorithm"),
    (OverflowError, None, "a number is too large for the algorithm"),
    (MemoryError, Cause.SERVER_LIMIT_EXCEEDED, "the request needs too much memory"),
)


class map_errors:  # noqa: N801 - reads as a verb: `with map_errors("decrypt"):`
    """Context manager: foreign exceptions leave as `KmipError` with `doing` and a fixed text; `KmipError` passes.

    `invalid` is the cause for values that the library refuses (ValueError, TypeError).
    """

    __slots__ = ("_doing", "_invalid")

    def __init__(self, doing: str, invalid: Cause = Cause.CRYPTOGRAPHIC_FAILURE) -> None:
        self._doing, self._invalid = doing, invalid

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, KmipError):
            return
        if isinstance(error, (exceptions.InvalidSignature, exceptions.InvalidTag)):
            raise NotAuthentic(f"{self._doing}: the data is not authentic") from error
        for foreign, cause, text in _CAUSES:
            if isinstance(error, foreign):
                raise KmipError(cause or self._invalid, f"{self._doing}: {text}") from error
        # The library's other exceptions (x509.InvalidVersion, x509.DuplicateExtension and such), and a panic of its Rust
        # half, which derives from BaseException. An exception of this project's own making passes: it is a bug.
        if type(error).__module__.startswith(("cryptography.", "pyo3_runtime")):
            raise KmipError(self._invalid, f"{self._doing}: the cryptographic library refused") from error


def unsupported(message: str) -> KmipError:
    """Valid in the specification, not served here (KMIP 2.1 §11.46 Unsupported Cryptographic Parameters)."""
    return KmipError(Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS, message)


def bad(message: str) -> KmipError:
    """The parameters contradict each other, the key or the data (KMIP 2.1 §11.46 Bad Cryptographic Parameters)."""
    return KmipError(Cause.BAD_CRYPTOGRAPHIC_PARAMETERS, message)


def failure(message: str) -> KmipError:
    """The operation itself failed (KMIP 2.1 §11.46 Cryptographic Failure)."""
    return KmipError(Cause.CRYPTOGRAPHIC_FAILURE, message)
