"""What the engine needs of identity beyond the certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kmipsrv.domain.identity import Identity
from kmipsrv.domain.ports import Work
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.structures import Credential


class Authenticator(Protocol):
    """Verifies the Credentials of a request header (KMIP 2.1 §9.11)."""

    def authenticate(self, work: Work, identity: Identity, credentials: Sequence[Credential], now: int) -> Identity:
        """-> who asks, credentials considered. Raises KmipError(AUTHENTICATION_NOT_SUCCESSFUL | …)."""


class CertificateOnly:
    """No users, devices or tickets are known: the certificate says who asks, and any Credential is refused."""

    def authenticate(self, work: Work, identity: Identity, credentials: Sequence[Credential], now: int) -> Identity:
        if credentials:
            raise KmipError(Cause.AUTHENTICATION_NOT_SUCCESSFUL, "the credential is not known here")
        return identity
