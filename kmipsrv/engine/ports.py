"""What the engine needs of identity beyond the certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from kmipsrv.domain.identity import Identity
from kmipsrv.domain.ports import Work
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.structures import Credential


class Authenticator(Protocol):
    """Verifies the Credentials of a request header (KMIP 2.1 §9.11)."""

    def prepare(self, credentials: Sequence[Credential]) -> Any:
        """The slow part, without the database and in any thread: what it returns is `prepared` below."""

    def authenticate(
        self, work: Work, identity: Identity, credentials: Sequence[Credential], now: int, prepared: Any
    ) -> Identity:
        """-> who asks, credentials considered. `prepared` None: the slow part was not done before.

        What it writes (counters) stands whatever becomes of the request. Raises KmipError(AUTHENTICATION_NOT_SUCCESSFUL |
        INVALID_TICKET | TICKET_USED_UP | …)."""


class CertificateOnly:
    """No users, devices or tickets are known: the certificate says who asks, and any Credential is refused."""

    def prepare(self, credentials: Sequence[Credential]) -> None:
        return None

    def authenticate(
        self, work: Work, identity: Identity, credentials: Sequence[Credential], now: int, prepared: Any
    ) -> Identity:
        if credentials:
            raise KmipError(Cause.AUTHENTICATION_NOT_SUCCESSFUL, "the credential is not known here")
        return identity
