"""RC2 with keys of any size (RFC 2268), for looking into PKCS#12 containers that are protected by 40 bits of it.

The library has RC2 with 128-bit keys only. This is for reading what others wrote; nothing is encrypted with it.
"""

from __future__ import annotations

import struct
from typing import Final

_PI: Final = bytes.fromhex(
    "d978f9c419ddb5ed28e9fd794aa0d89dc67e37832b76538e624c6488448bfba2179a59f587b34f1361456d8d09817d32"
    "bd8f40eb86b77b0bf09521225c6b4e8254d66593ce60b21c7356c014a78cf1dc1275ca1f3bbee4d1423dd430a33cb626"
    "6fbf0eda4669075727f21d9bbc944303f811c7f690ef3ee706c3d52fc8661ed708e8eade8052eef784aa72ac354d6a2a"
    "961ad2715a1549744b9fd05e0418a4ecc2e0416e0f51cbcc2491af50a1f47039997c3a8523b8b47afc02365b25559731"
    "2d5dfa98e38a92ae05df2910676cbac9d300e6cfe19ea82c6316013f58e289a90d38341bab33ffb0bb480c5fb9b1cd2e"
    "c5f3db47e5a59c770aa62068fe7fc1ad"
)
_SHIFTS: Final = (1, 2, 3, 5)


def _expand(key: bytes, bits: int) -> tuple[int, ...]:
    """Key expansion (§2): sixty-four 16-bit words, of `bits` effective key bits."""
    size = (bits + 7) // 8
    mask = 0xFF >> (8 * size - bits)
    out = bytearray(key)
    for i in range(len(key), 128):
        out.append(_PI[(out[i - 1] + out[i - len(key)]) & 0xFF])
    out[128 - size] = _PI[out[128 - size] & mask]
    for i in range(127 - size, -1, -1):
        out[i] = _PI[out[i + 1] ^ out[i + size]]
    return struct.unpack("<64H", out)


def _decrypt_block(words: tuple[int, ...], block: bytes) -> bytes:
    """§4: five mixing rounds, a mashing round, six, another, five; backwards."""
    r = list(struct.unpack("<4H", block))
    at = 63
    for rounds, mash in ((5, True), (6, True), (5, False)):
        for _ in range(rounds):
            for i in (3, 2, 1, 0):
                shift = _SHIFTS[i]
                value = ((r[i] >> shift) | (r[i] << (16 - shift))) & 0xFFFF
                value -= words[at] + (r[i - 1] & r[i - 2]) + (~r[i - 1] & r[i - 3])
                r[i] = value & 0xFFFF
                at -= 1
        if mash:
            for i in (3, 2, 1, 0):
                r[i] = (r[i] - words[r[i - 1] & 63]) & 0xFFFF
    return struct.pack("<4H", *r)


def decrypt_cbc(key: bytes, bits: int, iv: bytes, data: bytes) -> bytes:
    """Whole blocks in CBC mode, padding left on."""
    words, out = _expand(key, bits), []
    for at in range(0, len(data), 8):
        block = data[at : at + 8]
        plain = int.from_bytes(_decrypt_block(words, block), "big") ^ int.from_bytes(iv, "big")
        out.append(plain.to_bytes(8, "big"))
        iv = block
    return b"".join(out)
