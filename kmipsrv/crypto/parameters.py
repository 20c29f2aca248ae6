"""Cryptographic Parameters (KMIP 2.1 §4.16) as the algorithms see them, and the rule that none is silently ignored."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from kmipsrv.crypto.failures import bad, unsupported
from kmipsrv.spec.enums import (
    BlockCipherMode,
    CryptographicAlgorithm,
    DigitalSignatureAlgorithm,
    HashingAlgorithm,
    KeyRoleType,
    MaskGenerator,
    PaddingMethod,
)

_K: Final = KeyRoleType

ROLES: Final[dict[str, frozenset[KeyRoleType]]] = {
    # What a key of a role is for (KMIP 1.4 §3.6 Table 67, after TR-31). Roles of payment schemes whose own algorithms
    # this server does not compute (card verification, PIN verification) serve nothing here.
    "encrypt": frozenset({_K.DEK, _K.ZPK, _K.MKSMC, _K.MKOTH, _K.IV}),
    "sign": frozenset(),
    "mac": frozenset(
        {
            _K.MAC16609, _K.MAC97971, _K.MAC97972, _K.MAC97973, _K.MAC97974, _K.MAC97975,
            _K.MKAC, _K.MKSMI, _K.MKDAC, _K.MKOTH,
        }
    ),
    "hash": frozenset(),
    "derive": frozenset({_K.BDK, _K.DUKPT, _K.MKAC, _K.MKSMC, _K.MKSMI, _K.MKDAC, _K.MKDN, _K.MKCP, _K.MKOTH}),
    "wrap": frozenset({_K.KEK, _K.TRKBK}),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameters:
    """One instance of Cryptographic Parameters; None means absent. Units are those of the specification.

    `iv_length` and the three field lengths are bits, `tag_length` and `salt_length` bytes.
    """

    block_cipher_mode: BlockCipherMode | None = None
    padding_method: PaddingMethod | None = None
    hashing_algorithm: HashingAlgorithm | None = None
    key_role_type: KeyRoleType | None = None
    digital_signature_algorithm: DigitalSignatureAlgorithm | None = None
    cryptographic_algorithm: CryptographicAlgorithm | None = None
    random_iv: bool | None = None
    iv_length: int | None = None
    tag_length: int | None = None
    fixed_field_length: int | None = None
    invocation_field_length: int | None = None
    counter_length: int | None = None
    initial_counter_value: int | None = None
    salt_length: int | None = None
    mask_generator: MaskGenerator | None = None
    mask_generator_hashing_algorithm: HashingAlgorithm | None = None
    p_source: bytes | None = None
    trailer_field: int | None = None

    def only(self, purpose: str, used: frozenset[str]) -> None:
        """Refuse every parameter that is given but not in `used`; `purpose` is a key of ROLES and checks the role."""
        for name in _NAMES:
            if getattr(self, name) is not None and name not in used and name != "key_role_type":
                raise unsupported(f"{name.replace('_', ' ')} has no meaning for this {purpose} operation")
        check_role(purpose, self.key_role_type)


def check_role(purpose: str, role: KeyRoleType | None) -> None:
    """Refuse a key whose Key Role Type is not for `purpose`, a key of ROLES."""
    if role is not None and role not in ROLES[purpose]:
        raise bad(f"a key of role {role.text} is not for use by {purpose} operations")


_NAMES: Final = tuple(f.name for f in fields(Parameters))
NONE: Final = Parameters()
"""No parameters at all."""
