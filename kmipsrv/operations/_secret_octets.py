"""The octets of a Symmetric Key, Secret Data or Split Key for the operations that make another object of them (Derive Key,
Create Split Key, Join Split Key), and what the new object owes to those it is made of.
"""

from __future__ import annotations

from collections.abc import Sequence

from kmipsrv.crypto import formats
from kmipsrv.domain.grant import Purpose
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_material import material_of
from kmipsrv.operations._stored_keys import unwrapped
from kmipsrv.spec.objects import KeyBlock


def key_block(ctx: Context, obj: ManagedObject) -> KeyBlock:
    """The Key Block of an object in clear, for use on the server. Raises KmipError."""
    return unwrapped(ctx, ctx.body(obj, Purpose.USE).key_block)


def octets(block: KeyBlock) -> bytes:
    """The octets of a Raw, Opaque or Transparent Symmetric Key block. Raises KmipError."""
    return formats.symmetric_bytes(material_of(block))


def inherited_policy(sources: Sequence[ManagedObject]) -> str:
    """The release policy of an object made from others: theirs. Raises KmipError(PERMISSION_DENIED) for two different
    ones, neither of which may be loosened."""
    policies = {obj.stored.policy for obj in sources} - {""}
    if len(policies) > 1:
        raise KmipError(Cause.PERMISSION_DENIED, "the objects are under different release policies")
    return policies.pop() if policies else ""
