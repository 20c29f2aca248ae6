"""Protection Storage Masks of creating requests (KMIP 2.1 §7.33)."""

from __future__ import annotations

from kmipsrv.domain.settings import Settings
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.structures import ProtectionStorageMasks


def check_storage_masks(
    settings: Settings,
    masks: ProtectionStorageMasks | None,
    cause: Cause = Cause.PROTECTION_STORAGE_UNAVAILABLE,
) -> None:
    """Whether this server's storage is one of the permissible ones. Raises KmipError(`cause`).

    A mask permits a storage that has every property it names."""
    if masks is None or not masks.protection_storage_mask:
        return
    ours = settings.protection_storage_mask
    if not any(mask & ours == mask for mask in masks.protection_storage_mask):
        raise KmipError(cause, "no permissible Protection Storage is available")
