"""What an operator decides and operations obey; `app.py` fills it from the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from kmipsrv.domain.notices import Endpoint
from kmipsrv.spec.enums import AttestationType, ProtectionStorageMask


@dataclass(frozen=True, slots=True)
class Settings:
    """The bounds of what a request can ask for, and the server's defaults. Sizes in bytes, times in seconds."""

    vendor_identification: str = "kmipsrv"
    server_name: str = "kmipsrv"
    server_version: str = ""
    time_stamp_skew: int | None = None  # how far a request's Time Stamp may be off; None: not looked at
    nesting: int = 32  # structures within structures in a request
    batch_items: int = 1000
    locate_items: int = 10_000  # the most that one answer lists
    attribute_instances: int = 1000  # of one multi-instance attribute
    lease_time: int = 3600
    ticket_time: int = 86400  # the longest that a ticket of Login is valid
    maximum_rsa_bits: int = 4096
    maximum_dh_bits: int = 4096
    maximum_pbkdf2_iterations: int = 10_000_000  # that the items of one message ask for together, PKCS#12 included
    maximum_key_pairs: int = 8  # of RSA, DSA and DH that one message makes: each takes up to a second
    maximum_random_bytes: int = 65536
    maximum_split_key_parts: int = 255
    maximum_streams: int = 1000  # multi-part operations of one client
    maximum_stream_bytes: int = 16 * 1024 * 1024  # that those of one client collect, where an algorithm needs it all
    maximum_output_bytes: int = 32 * 1024 * 1024  # of Data that the items of one batch put out
    maximum_asynchronous: int = 1000  # requests of one owner that wait to be polled
    endpoints: tuple[Endpoint, ...] = ()  # who hears of changed and new objects (Notify, Put)
    notice_time: int = 86400  # the longest that a notice waits for its endpoint
    allow_legacy_algorithms: bool = False
    interop: bool = False
    pkcs_11_manufacturer: str = "kmipsrv"  # what C_GetInfo says
    pkcs_11_description: str = "kmipsrv"
    https: bool = False  # whether the HTTPS door is open: the profiles that need it
    attestation_types: tuple[AttestationType, ...] = ()  # what the release gate can verify, in KMIP's terms
    default_object_group: str = ""  # what an object that names no Object Group belongs to
    generated_groups: frozenset[str] = (
        frozenset()
    )  # groups in which Locate makes a fresh AES-256 key when there is none
    protection_storage_mask: ProtectionStorageMask = ProtectionStorageMask.SOFTWARE
