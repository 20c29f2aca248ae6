"""Initialization vectors, counters and nonces (KMIP 2.1 §4.16: Random IV, IV Length and the fields of a counter block).

Every parameter about the vector ends here: used to make it or to complete it, checked against the one that was given, or
refused.
"""

from __future__ import annotations

from kmipsrv.crypto.failures import bad, unsupported
from kmipsrv.crypto.padding import Random
from kmipsrv.crypto.parameters import Parameters
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import BlockCipherMode, CryptographicAlgorithm

_MAX_BITS = 1024
"""The longest vector that the library's GCM takes."""


def vector(
    parameters: Parameters,
    mode: BlockCipherMode | None,
    iv: bytes | None,
    *,
    length: int,
    authenticated: bool,
    random: Random | None,
) -> tuple[bytes, bytes | None]:
    """The initialization vector and, when it was made here, that again (KMIP 2.1 §6.1.17).

    `length` is the mode's own length in bytes (0: none), `authenticated` whether the mode makes a tag; `random` is None
    when decrypting. Raises Missing Initialization Vector, Bad and Unsupported Cryptographic Parameters.
    """
    if length == 0:
        if iv:
            raise bad("the mode has no initialization vector")
        return b"", None
    wanted = parameters.iv_length
    if wanted is not None and (wanted <= 0 or wanted % 8 or wanted > _MAX_BITS):
        raise bad("the IV length is a positive multiple of 8, in bits")
    counter = parameters.counter_length if mode == BlockCipherMode.CTR else None
    parts = (parameters.fixed_field_length, parameters.invocation_field_length)
    if not iv:
        # "Random IV can be used to request that the KMIP server generate an appropriate IV". An empty IV is none.
        if random is None or not parameters.random_iv:
            raise KmipError(Cause.MISSING_INITIALIZATION_VECTOR, "an initialization vector is needed")
        if parts != (None, None):
            # SP 800-38D §8.2.1 counts invocations across messages; what is generated here is the random IV of §8.2.2.
            raise unsupported("an IV of fixed and invocation fields is the client's to make; it is not generated")
        size = wanted // 8 if wanted is not None else length - (counter or 0) // 8
        if authenticated and size < 12:
            raise bad("a random IV of less than 96 bits would repeat")
        iv = random(size)
        return iv, iv
    if wanted is not None and wanted != len(iv) * 8:
        raise bad("the initialization vector has not the IV length")
    if parts != (None, None) and sum(part or 0 for part in (*parts, counter)) not in (len(iv) * 8, length * 8):
        raise bad("the fixed, invocation and counter fields do not add up to the initialization vector")
    return iv, None


def counter_block(
    algorithm: CryptographicAlgorithm, mode: BlockCipherMode | None, parameters: Parameters, iv: bytes
) -> tuple[bytes, int]:
    """The IV completed by its counter, and the bytes that the counter lasts for (0: no bound)."""
    start = parameters.initial_counter_value
    if start is not None and start < 0:
        raise bad("the initial counter value is negative")
    if algorithm == CryptographicAlgorithm.CHACHA20:
        # RFC 8439 §2.3: 32-bit counter, 96-bit nonce; the author's original: 64 and 64. Sixteen bytes bring their own.
        if len(iv) == 16 and start is None and parameters.counter_length is None:
            return iv, 0
        if len(iv) not in (8, 12) or parameters.counter_length not in (None, 128 - len(iv) * 8):
            raise bad("the nonce of ChaCha20 is 64 or 96 bits, the counter is the rest of 128")
        size = 16 - len(iv)
        start = start or 0
        if start >> (size * 8):
            raise bad("the initial counter value does not fit the counter")
        return start.to_bytes(size, "little") + iv, ((1 << (size * 8)) - start) * 64
    if mode != BlockCipherMode.CTR:
        return iv, 0
    bits = parameters.counter_length
    if len(iv) < 16:
        # The nonce alone: the rest of the block is the counter (RFC 3686 §4: 32 bits, starting at 1).
        if bits not in (None, 128 - len(iv) * 8):
            raise bad("nonce and counter do not add up to a block")
        bits = 128 - len(iv) * 8
        start = start or 0
        if start >> bits:
            raise bad("the initial counter value does not fit the counter")
        iv += start.to_bytes(bits // 8, "big")
    if bits is None:
        bits = 128
    if not 1 <= bits <= 128:
        raise bad("the counter length is between 1 and 128 bits")
    first = int.from_bytes(iv, "big") & ((1 << bits) - 1)
    if start is not None and start != first:
        raise bad("the initial counter value is not the one in the counter block")
    # A counter of 128 bits is a number modulo 2^128 (SP 800-38A §B.1); a shorter one must not run into the nonce.
    return iv, 0 if bits == 128 else ((1 << bits) - first) * 16
