"""The gate: the only place where a Grant is made (a test over the syntax trees holds that).

Every plaintext that leaves the keyring, for use or for export, passes `Gate.authorize`: an object without a release policy
gets its Grant here too, so that no operation has a gated and an ungated branch. Ownership, state and usage have been
checked before.
"""

from __future__ import annotations

from kmipsrv.domain.grant import Grant, Purpose
from kmipsrv.errors import Cause, KmipError


class Gate:
    """Decides whether an object may be opened."""

    def authorize(self, unique_identifier: str, owner: str, policy: str, purpose: Purpose) -> Grant:
        """-> the Grant for one opening.

        `owner` is the owner of the object, whom the caller has found to be the one who asks. Raises
        KmipError(PERMISSION_DENIED) for an object that a release policy guards and this gate cannot satisfy.
        """
        if policy:
            raise KmipError(Cause.PERMISSION_DENIED, "the object's release policy is not satisfied")
        return Grant(unique_identifier, owner, purpose, policy)
