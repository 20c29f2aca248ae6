"""The envelope: one sealed record for each object (the design's §5).

    record  = header, outer IV, sealed data key, inner IV, ciphertext and tag
    header  = magic "KSRE", format 1, mechanism 1 byte, master key version 4 bytes, length of the outer IV 1 byte,
              length of the sealed data key 2 bytes (big endian)
    inner   = AES-256-GCM by a data key that seals nothing else; additional data = "KSRE", format, binding
    outer   = the master key's seal of the data key, inside the token; additional data = magic, format, mechanism,
              master key version, binding (AES key wrap has no additional data: there the inner seal alone carries it)

Each data key is used for one inner seal only, so that its IV can never repeat; what is bound to new facts gets a new
data key. Rotation touches the outer seal alone. Every failure to open says the same: which layer refused is nobody's
business.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kmipsrv.domain.binding import Binding
from kmipsrv.domain.grant import Grant, Purpose
from kmipsrv.errors import Cause, KmipError
from kmipsrv.keyring.master import MasterKey, Mechanism, SealCounter

MAGIC: Final = b"KSRE"
FORMAT: Final = 1
HEADER: Final = Struct(">4sBBIBH")
IV_LENGTH: Final = 12  # bytes, of every IV
TAG_LENGTH: Final = 16  # bytes
DATA_KEY_LENGTH: Final = 32  # bytes
SEALED_KEY_LENGTH: Final = {
    Mechanism.AES_GCM: DATA_KEY_LENGTH + TAG_LENGTH,
    Mechanism.AES_GCM_TOKEN_IV: DATA_KEY_LENGTH + TAG_LENGTH,
    Mechanism.AES_KWP: DATA_KEY_LENGTH + 8,  # RFC 5649 §4.1: one block of eight bytes more
}
OUTER_IV_LENGTH: Final = {Mechanism.AES_GCM: IV_LENGTH, Mechanism.AES_GCM_TOKEN_IV: IV_LENGTH, Mechanism.AES_KWP: 0}
MAX_PLAINTEXT: Final = 1 << 24  # bytes; no managed object is larger, and a record that says so is not parsed
MAX_RECORD: Final = MAX_PLAINTEXT + 256

CHECK_BINDING: Final = Binding("kmipsrv:check", 0, "", "")  # no object: object types start at 1
CHECK_CONTENT: Final = b"kmipsrv check record: opened by the master key that sealed it"


class Record(NamedTuple):
    """A sealed record taken apart; nothing in it is secret."""

    mechanism: Mechanism
    version: int  # of the master key
    outer_iv: bytes
    sealed_key: bytes
    inner_iv: bytes
    ciphertext: bytes

    def encode(self) -> bytes:
        """The record as it is stored."""
        header = HEADER.pack(MAGIC, FORMAT, self.mechanism, self.version, len(self.outer_iv), len(self.sealed_key))
        return b"".join((header, self.outer_iv, self.sealed_key, self.inner_iv, self.ciphertext))

    @classmethod
    def decode(cls, record: bytes) -> Record:
        """Raises KmipError(CRYPTOGRAPHIC_FAILURE) for anything that `encode` does not make."""
        if not HEADER.size <= len(record) <= MAX_RECORD:
            raise _refused()
        magic, form, number, version, iv_length, key_length = HEADER.unpack_from(record)
        if magic != MAGIC or form != FORMAT or number not in SEALED_KEY_LENGTH:
            raise _refused()
        mechanism = Mechanism(number)
        if iv_length != OUTER_IV_LENGTH[mechanism] or key_length != SEALED_KEY_LENGTH[mechanism]:
            raise _refused()
        at_key = HEADER.size + iv_length
        at_iv = at_key + key_length
        at_text = at_iv + IV_LENGTH
        if len(record) < at_text + TAG_LENGTH:
            raise _refused()
        return cls(
            mechanism,
            version,
            record[HEADER.size : at_key],
            record[at_key:at_iv],
            record[at_iv:at_text],
            record[at_text:],
        )


class Envelope:
    """`domain.ports.Keyring` on a master key. Any thread may call it."""

    def __init__(
        self,
        master: MasterKey,
        counter: SealCounter,
        mechanism: Mechanism = Mechanism.AES_GCM,
        randomness: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._master = master
        self._counter = counter
        self._mechanism = mechanism
        self._randomness = randomness

    def seal(self, plaintext: bytes, binding: Binding) -> bytes:
        """-> the record of `plaintext`, bound to `binding`, under the current version of the master key.

        Raises TokenUnavailable, KmipError(CRYPTOGRAPHIC_FAILURE) when the version has made all the seals it may.
        """
        if len(plaintext) > MAX_PLAINTEXT:
            raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"an object has at most {MAX_PLAINTEXT} bytes of material")
        facts = binding.encode()
        data_key = self._randomness(DATA_KEY_LENGTH)
        inner_iv = self._randomness(IV_LENGTH)
        ciphertext = AESGCM(data_key).encrypt(inner_iv, plaintext, _inner_data(facts))
        return self._seal_key(data_key, facts, inner_iv, ciphertext).encode()

    def open(self, sealed: bytes, binding: Binding, grant: Grant) -> bytes:
        """-> the plaintext. Raises KmipError(PERMISSION_DENIED | CRYPTOGRAPHIC_FAILURE), TokenUnavailable."""
        _check_grant(grant, binding)
        return self._open(sealed, binding)

    def reseal(self, sealed: bytes, old: Binding, new: Binding) -> bytes:
        """The same material bound to `new`, under the current version; raises as `open` and `seal` do.

        The plaintext stays inside. An unchanged binding leaves the inner seal as it is: that is rotation.
        """
        if old != new:
            return self.seal(self._open(sealed, old), new)
        record = Record.decode(sealed)
        facts = old.encode()
        data_key = self._open_key(record, facts)
        _open_inner(data_key, record, facts)  # key wrap has no additional data: do not carry a swapped row along
        return self._seal_key(data_key, facts, record.inner_iv, record.ciphertext).encode()

    def check_record(self) -> bytes:
        """A sealed record of known content, made once and kept beside the objects."""
        return self.seal(CHECK_CONTENT, CHECK_BINDING)

    def verify_check(self, record: bytes) -> None:
        """Prove that the token holds the master key which sealed `record`, now and each time the token comes back.

        Raises KmipError(CRYPTOGRAPHIC_FAILURE), TokenUnavailable.
        """
        self._verify_check(record)
        self._master.when_back(lambda: self._verify_check(record))

    def _verify_check(self, record: bytes) -> None:
        if not hmac.compare_digest(self._open(record, CHECK_BINDING), CHECK_CONTENT):
            raise _refused()

    def _open(self, sealed: bytes, binding: Binding) -> bytes:
        record = Record.decode(sealed)
        facts = binding.encode()
        return _open_inner(self._open_key(record, facts), record, facts)

    def _open_key(self, record: Record, facts: bytes) -> bytes:
        additional = _outer_data(record.mechanism, record.version, facts)
        return self._master.open(record.version, record.mechanism, record.outer_iv, record.sealed_key, additional)

    def _seal_key(self, data_key: bytes, facts: bytes, inner_iv: bytes, ciphertext: bytes) -> Record:
        version = self._master.version()
        self._counter.take(version)
        additional = _outer_data(self._mechanism, version, facts)
        outer_iv, sealed_key = self._master.seal(version, self._mechanism, data_key, additional)
        return Record(self._mechanism, version, outer_iv, sealed_key, inner_iv, ciphertext)


def _inner_data(facts: bytes) -> bytes:
    return MAGIC + bytes([FORMAT]) + facts


def _outer_data(mechanism: Mechanism, version: int, facts: bytes) -> bytes:
    return MAGIC + bytes([FORMAT, mechanism]) + version.to_bytes(4, "big") + facts


def _open_inner(data_key: bytes, record: Record, facts: bytes) -> bytes:
    try:
        return AESGCM(data_key).decrypt(record.inner_iv, record.ciphertext, _inner_data(facts))
    except (InvalidTag, ValueError) as error:
        raise _refused() from error


def _check_grant(grant: Grant, binding: Binding) -> None:
    """The grant is for this object, this owner and the policy that the object is bound to; raises PERMISSION_DENIED."""
    exact = (
        isinstance(grant, Grant)
        and isinstance(grant.purpose, Purpose)
        and grant.unique_identifier == binding.unique_identifier
        and grant.owner == binding.owner
        and grant.policy == binding.policy
    )
    if not exact:
        raise KmipError(Cause.PERMISSION_DENIED, "the release of this object was not granted")


def _refused() -> KmipError:
    return KmipError(Cause.CRYPTOGRAPHIC_FAILURE, "the object cannot be opened")
