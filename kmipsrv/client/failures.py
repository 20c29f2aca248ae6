"""What a client's caller catches: the server's refusals, and answers that are none."""

from __future__ import annotations

from kmipsrv.spec.enums import Operation, ResultReason, ResultStatus
from kmipsrv.spec.structures import Nonce


class ProtocolFailure(Exception):
    """What came back is not an answer to what was asked: not TTLV, not a Response Message, or another operation's."""


class OperationFailed(Exception):
    """The server's refusal of one operation (KMIP 2.1 §8.6): Result Status, Result Reason and Result Message."""

    def __init__(
        self, operation: Operation, status: ResultStatus, reason: ResultReason | None, message: str | None
    ) -> None:
        said = reason.text if reason is not None else status.text
        super().__init__(f"{operation.text}: {said}" + (f": {message}" if message else ""))
        self.operation = operation
        self.status = status
        self.reason = reason
        self.message = message


class AttestationRequired(OperationFailed):
    """The object is gated: `nonce` is the server's challenge, `types` what its policy could accept: types of evidence by
    the names that `kmipsrv attest verify` has for them, or KMIP's name for what no verifier here reads."""

    def __init__(self, operation: Operation, message: str | None, nonce: Nonce, types: tuple[str, ...]) -> None:
        super().__init__(operation, ResultStatus.OPERATION_FAILED, ResultReason.ATTESTATION_REQUIRED, message)
        self.nonce = nonce
        self.types = types
