"""Who may use which key for what (KMIP 2.1 §4.17 Usage Mask, §4.40-4.41 dates, §4.57 State, §4.59 Usage Limits).

`protects` tells the two sides of cryptography apart: applying protection (encrypt, sign, MAC, wrap) and processing what is
protected already (decrypt, verify, unwrap), which "is not limited" and outlives the Active state.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from kmipsrv.crypto.parameters import NONE, Parameters
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context, Reference
from kmipsrv.spec.enums import CryptographicUsageMask, ObjectType, State, UsageLimitsUnit
from kmipsrv.spec.structures import CryptographicParameters, UsageLimits
from kmipsrv.spec.tags import Tag

_M: Final = CryptographicUsageMask
_O: Final = ObjectType


@dataclass(frozen=True, slots=True)
class Use:
    """One way to use a key: the bits that permit it (any of them), what can be used so, and on which side it is."""

    mask: CryptographicUsageMask
    objects: frozenset[ObjectType]
    protects: bool


_PUBLIC: Final = frozenset((_O.PUBLIC_KEY, _O.CERTIFICATE))
_SECRET: Final = frozenset((_O.SYMMETRIC_KEY, _O.SECRET_DATA))

# Secret Data encrypts as a One Time Pad alone: `require_cipher` in operations/_stored_keys.py.
ENCRYPT: Final = Use(_M.ENCRYPT, _PUBLIC | _SECRET, True)
DECRYPT: Final = Use(_M.DECRYPT, _SECRET | {_O.PRIVATE_KEY}, False)
SIGN: Final = Use(_M.SIGN, frozenset((_O.PRIVATE_KEY,)), True)
SIGNATURE_VERIFY: Final = Use(_M.VERIFY, _PUBLIC, False)
MAC: Final = Use(_M.MAC_GENERATE, _SECRET, True)
MAC_VERIFY: Final = Use(_M.MAC_VERIFY, _SECRET, False)
WRAP: Final = Use(_M.WRAP_KEY, _PUBLIC | {_O.SYMMETRIC_KEY}, True)
# TC-WRAP-2-14 and -3-14 have the server unwrap with a key whose mask says Wrap Key only (docs/errata.md).
UNWRAP: Final = Use(_M.UNWRAP_KEY | _M.WRAP_KEY, frozenset((_O.SYMMETRIC_KEY, _O.PRIVATE_KEY)), False)
WRAP_MAC: Final = Use(_M.MAC_GENERATE, frozenset((_O.SYMMETRIC_KEY,)), True)
UNWRAP_MAC: Final = Use(_M.MAC_VERIFY | _M.MAC_GENERATE, frozenset((_O.SYMMETRIC_KEY,)), False)

# §4.57: Deactivated and Compromised objects SHALL NOT apply protection; they "SHOULD only be used to process".
_STATES: Final = {
    True: frozenset((State.ACTIVE,)),
    False: frozenset((State.ACTIVE, State.DEACTIVATED, State.COMPROMISED)),
}


def usable(ctx: Context, reference: Reference, use: Use) -> ManagedObject:
    """The caller's object, once type, mask, state and dates permit the use. Raises KmipError."""
    obj = ctx.object(reference)
    require(obj, use, ctx.now)
    return obj


def require(obj: ManagedObject, use: Use, now: int) -> None:
    """Raises KmipError(INVALID_OBJECT_TYPE | INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK | WRONG_KEY_LIFECYCLE_STATE)."""
    if obj.object_type not in use.objects:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, f"a {obj.object_type.text} cannot be used for this")
    if not obj.usage_mask & (use.mask | _M.UNRESTRICTED):
        raise KmipError(
            Cause.INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK, "the Cryptographic Usage Mask does not permit this"
        )
    state = obj.state(now)
    if state not in _STATES[use.protects]:
        raise KmipError(Cause.WRONG_KEY_LIFECYCLE_STATE, f"an object in state {state.text} cannot be used for this")
    dates = obj.stored
    if dates.process_start_date is not None and now < dates.process_start_date:
        # §4.57 "SHALL NOT be used for cryptographic purposes prior to the Process Start Date": for none of them.
        raise KmipError(Cause.WRONG_KEY_LIFECYCLE_STATE, "the Process Start Date has not been reached")
    if use.protects and dates.protect_stop_date is not None and now > dates.protect_stop_date:
        # §4.41 speaks of applying protection alone; processing goes on, which is what the date is for.
        raise KmipError(Cause.WRONG_KEY_LIFECYCLE_STATE, "the Protect Stop Date has passed")


_USAGE_LIMITS: Final = Tag.USAGE_LIMITS.to_bytes(3, "big")


def spend(ctx: Context, obj: ManagedObject, octets: int, *, begins: bool = True) -> None:
    """Draw on the object's Usage Limits before it protects `octets`; `begins`: the first or only part of the data.

    Raises KmipError(USAGE_LIMIT_EXCEEDED). "If the allocation is unable to be obtained the operation SHALL return with a
    result status of Operation Failed" (§6.1.17); a failed item's draw is undone with the item.
    """
    if _USAGE_LIMITS not in obj.stored.attributes:
        return  # most keys have none: their attributes need not be decoded
    limits: UsageLimits | None = obj.attributes.get(Tag.USAGE_LIMITS)
    if limits is None:
        return
    units = octets if limits.usage_limits_unit is UsageLimitsUnit.BYTE else int(begins)
    left = limits.usage_limits_total if limits.usage_limits_count is None else limits.usage_limits_count
    if units > left:
        raise KmipError(Cause.USAGE_LIMIT_EXCEEDED, "the Usage Limits do not leave that much")
    drawn = UsageLimits(
        usage_limits_total=limits.usage_limits_total,
        usage_limits_count=left - units,
        usage_limits_unit=limits.usage_limits_unit,
    )
    obj.attributes.set(Tag.USAGE_LIMITS, drawn)
    ctx.work.update(obj.mirror(), index=False)


_FIELDS: Final = tuple(field.name for field in fields(Parameters))


def parameters_of(given: CryptographicParameters | None, obj: ManagedObject | None = None) -> Parameters:
    """What an operation computes with: the request's Cryptographic Parameters, or if omitted "the Cryptographic Parameters
    associated with the Managed Cryptographic Object with the lowest Attribute Index" (1.4 §4.29), or none."""
    if given is None and obj is not None:
        given = obj.attributes.get(Tag.CRYPTOGRAPHIC_PARAMETERS)
    return NONE if given is None else Parameters(*(getattr(given, name) for name in _FIELDS))
