"""Symmetric encryption and decryption (KMIP 2.1 §6.1.11 Decrypt, §6.1.17 Encrypt), in one piece or as a stream.

Rows first: `_BLOCK` says which block ciphers there are, `_MODES` what each Block Cipher Mode needs. Modes: SP 800-38A
(ECB, CBC, CFB-128, OFB, CTR), 38C (CCM), 38D (GCM), 38E (XTS), 38F and RFC 3394 (NIST Key Wrap), RFC 5649 (AES Key Wrap
Padding); ChaCha20 after RFC 8439 with 96-bit nonces and after its author with 64-bit ones; ChaCha20-Poly1305 (RFC 8439).

`allow_legacy` is the policy's word on 64-bit blocks, RC4, ECB and GCM tags shorter than 96 bits.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cryptography.hazmat.decrepit.ciphers import algorithms as decrepit
from cryptography.hazmat.decrepit.ciphers import modes as decrepit_modes
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.poly1305 import Poly1305

from kmipsrv.crypto.failures import NotAuthentic, bad, failure, map_errors, unsupported
from kmipsrv.crypto.initialization import counter_block, vector
from kmipsrv.crypto.padding import BLOCK_METHODS, Random, padding_for, strip
from kmipsrv.crypto.parameters import Parameters
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import BlockCipherMode, CryptographicAlgorithm, PaddingMethod

_A: Final = CryptographicAlgorithm
_M: Final = BlockCipherMode


@dataclass(frozen=True, slots=True)
class _Block:
    make: Callable[[bytes], BlockCipherAlgorithm]
    size: int
    """Block size in bytes."""
    legacy: bool


def _triple_des(key: bytes) -> BlockCipherAlgorithm:
    # SP 800-67 keying options: one, two or three parts; a single DES key is the bundle of three equal ones.
    return decrepit.TripleDES({8: key * 3, 16: key + key[:8]}.get(len(key), key))


_BLOCK: Final[dict[CryptographicAlgorithm, _Block]] = {
    _A.AES: _Block(algorithms.AES, 16, False),
    _A.CAMELLIA: _Block(decrepit.Camellia, 16, False),
    _A.SEED: _Block(decrepit.SEED, 16, False),
    _A.SM4: _Block(algorithms.SM4, 16, False),
    _A.DES3: _Block(_triple_des, 8, True),
    _A.DES: _Block(_triple_des, 8, True),
    _A.BLOWFISH: _Block(decrepit.Blowfish, 8, True),
    _A.CAST5: _Block(decrepit.CAST5, 8, True),
    _A.IDEA: _Block(decrepit.IDEA, 8, True),
    _A.RC2: _Block(decrepit.RC2, 8, True),
}


@dataclass(frozen=True, slots=True)
class _Mode:
    make: Callable[[bytes], modes.Mode] | None
    """None: the whole message is needed at once (`_whole`)."""
    iv: int
    """Bytes of initialization vector: 0 none, -1 one block, otherwise the default length."""
    pads: bool = False
    tag: frozenset[int] = frozenset()
    """Authenticated Encryption Tag lengths in bytes; empty: the mode makes no tag."""
    aes_only: bool = False


# SP 800-38D §5.2.1.2: tags of 12 to 16 bytes, and 4 or 8 for certain applications.
_GCM_TAGS: Final = frozenset({4, 8, 12, 13, 14, 15, 16})
_SHORT_TAG: Final = 12
_MODES: Final[dict[BlockCipherMode, _Mode]] = {
    _M.ECB: _Mode(lambda iv: modes.ECB(), 0, pads=True),  # noqa: S305 - the policy decides (allow_legacy)
    _M.CBC: _Mode(modes.CBC, -1, pads=True),
    _M.CFB: _Mode(decrepit_modes.CFB, -1),
    _M.OFB: _Mode(decrepit_modes.OFB, -1),
    _M.CTR: _Mode(modes.CTR, -1),
    _M.GCM: _Mode(modes.GCM, 12, tag=_GCM_TAGS),
    _M.CCM: _Mode(None, 12, tag=frozenset(range(4, 17, 2)), aes_only=True),
    _M.XTS: _Mode(None, 16, aes_only=True),
    _M.NIST_KEY_WRAP: _Mode(None, 0, aes_only=True),
    _M.AES_KEY_WRAP_PADDING: _Mode(None, 0, aes_only=True),
}
_AEAD: Final = _Mode(None, 12, tag=frozenset(range(12, 17)))
_CHACHA20: Final = _Mode(None, 12)
_STREAM: Final = _Mode(None, 0)

_ALWAYS: Final = frozenset({"block_cipher_mode", "padding_method", "cryptographic_algorithm"})
_WITH_IV: Final = _ALWAYS | {"random_iv", "iv_length"}
_WITH_COUNTER: Final = _WITH_IV | {
    "fixed_field_length",
    "invocation_field_length",
    "counter_length",
    "initial_counter_value",
}
_WITH_TAG: Final = _WITH_IV | {"tag_length", "fixed_field_length", "invocation_field_length"}

DEFAULT_MAX_BUFFERED: Final = 16 * 1024 * 1024
"""Bytes that a stream may collect in modes that need the whole message (CCM, XTS, ChaCha20-Poly1305, key wrap)."""


@dataclass(frozen=True, slots=True)
class Encrypted:
    """What an encryption yields. `iv` is set when it was generated here; `tag` when the mode authenticates."""

    data: bytes
    iv: bytes | None = None
    tag: bytes | None = None


class _Context(Protocol):
    def update(self, data: bytes, /) -> bytes: ...
    def finalize(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Plan:
    """One encryption or decryption, every parameter checked: what the algorithm runs on."""

    algorithm: CryptographicAlgorithm
    key: bytes
    mode: BlockCipherMode | None
    row: _Mode
    block: int
    padding: PaddingMethod | None
    iv: bytes
    generated: bytes | None
    tag_length: int
    limit: int
    """Bytes after which the counter would repeat."""


def encrypt(
    algorithm: CryptographicAlgorithm,
    key: bytes,
    parameters: Parameters,
    data: bytes,
    *,
    random: Random,
    iv: bytes | None = None,
    aad: bytes = b"",
    allow_legacy: bool = False,
) -> Encrypted:
    """Encrypt one message. Raises Missing Initialization Vector when the mode needs one that is neither given nor to be
    generated (Random IV), Bad or Unsupported Cryptographic Parameters, Cryptographic Failure."""
    plan = _plan(algorithm, key, parameters, iv, aad, allow_legacy, random)
    if plan.mode == _M.GCM and algorithm == _A.AES:  # the common case, without a context object
        with map_errors("encrypt"):
            sealed = AESGCM(key).encrypt(plan.iv, data, aad)
        return Encrypted(sealed[:-16], plan.generated, sealed[-16:][: plan.tag_length])
    stream = Encryption(plan, aad, random, max(len(data), DEFAULT_MAX_BUFFERED))
    out = stream.update(data)
    return Encrypted(out + stream.finalize(), plan.generated, stream.tag)


def decrypt(
    algorithm: CryptographicAlgorithm,
    key: bytes,
    parameters: Parameters,
    data: bytes,
    *,
    iv: bytes | None = None,
    aad: bytes = b"",
    tag: bytes | None = None,
    allow_legacy: bool = False,
) -> bytes:
    """Decrypt one message; `NotAuthentic` (Cryptographic Failure) when its tag is not right, else as `encrypt`."""
    plan = _plan(algorithm, key, parameters, iv, aad, allow_legacy, None)
    stream = Decryption(plan, aad, tag, max(len(data), DEFAULT_MAX_BUFFERED))
    out = stream.update(data)
    return out + stream.finalize()


def start_encryption(
    algorithm: CryptographicAlgorithm,
    key: bytes,
    parameters: Parameters,
    *,
    random: Random,
    iv: bytes | None = None,
    aad: bytes = b"",
    allow_legacy: bool = False,
    max_buffered: int = DEFAULT_MAX_BUFFERED,
) -> Encryption:
    """A stream of encryption; its `iv` is the generated one, its `tag` is there after `finalize`."""
    plan = _plan(algorithm, key, parameters, iv, aad, allow_legacy, random)
    return Encryption(plan, aad, random, max_buffered)


def start_decryption(
    algorithm: CryptographicAlgorithm,
    key: bytes,
    parameters: Parameters,
    *,
    iv: bytes | None = None,
    aad: bytes = b"",
    tag: bytes | None = None,
    allow_legacy: bool = False,
    max_buffered: int = DEFAULT_MAX_BUFFERED,
) -> Decryption:
    """A stream of decryption. KMIP 2.1 §6.1.11: the tag "MUST be supplied on the initial Decrypt request"."""
    plan = _plan(algorithm, key, parameters, iv, aad, allow_legacy, None)
    return Decryption(plan, aad, tag, max_buffered)


class Encryption:
    """An encryption under way: `update` any number of times, then `finalize` once. Lives in one process."""

    __slots__ = ("_context", "_count", "_plan", "_random", "iv", "tag")

    def __init__(self, plan: _Plan, aad: bytes, random: Random, max_buffered: int) -> None:
        self._plan, self._random, self._count = plan, random, 0
        self.iv, self.tag = plan.generated, None  # type: tuple[bytes | None, bytes | None]
        with map_errors("encrypt", Cause.BAD_CRYPTOGRAPHIC_PARAMETERS):
            if _is_whole(plan):
                self._context: Any = _Whole(lambda data: _seal_whole(plan, data, aad), max_buffered)
            else:
                self._context = _cipher(plan, None).encryptor()
                if plan.tag_length:
                    self._context.authenticate_additional_data(aad)

    @property
    def held(self) -> int:
        """Bytes of the message that are kept until the end."""
        return _held(self._context)

    def update(self, data: bytes) -> bytes:
        """Ciphertext that is ready after more plaintext; may be empty."""
        self._count = _counted(self._plan, self._count, data)
        with map_errors("encrypt"):
            out: bytes = self._context.update(data)
            return out

    def finalize(self) -> bytes:
        """The rest of the ciphertext; sets `tag`."""
        plan = self._plan
        with map_errors("encrypt"):
            out: bytes = b""
            if plan.padding is not None:
                out = self._context.update(padding_for(plan.padding, plan.block, self._count, self._random))
            out += self._context.finalize()
            if plan.tag_length:
                if _is_whole(plan):
                    out, self.tag = out[: -plan.tag_length], out[-plan.tag_length :]
                else:
                    self.tag = self._context.tag[: plan.tag_length]
        return out


class Decryption:
    """A decryption under way. Plaintext of an authenticated stream is provisional until `finalize` has returned."""

    __slots__ = ("_context", "_count", "_held", "_plan")

    def __init__(self, plan: _Plan, aad: bytes, tag: bytes | None, max_buffered: int) -> None:
        self._plan, self._count, self._held = plan, 0, b""
        if plan.tag_length:
            if tag is None:
                raise bad("the authenticated encryption tag is missing")
            if len(tag) != plan.tag_length:
                raise bad("the authenticated encryption tag has not the tag length")
        elif tag is not None:
            raise bad("the mode has no authenticated encryption tag")
        with map_errors("decrypt", Cause.BAD_CRYPTOGRAPHIC_PARAMETERS):
            if _is_whole(plan):
                self._context: Any = _Whole(lambda data: _open_whole(plan, data, aad, tag or b""), max_buffered)
            else:
                self._context = _cipher(plan, tag).decryptor()
                if plan.tag_length:
                    self._context.authenticate_additional_data(aad)

    @property
    def held(self) -> int:
        """Bytes of the message that are kept until the end."""
        return _held(self._context)

    def update(self, data: bytes) -> bytes:
        """Plaintext that is ready after more ciphertext; with a padding method the last block is held back."""
        self._count = _counted(self._plan, self._count, data)
        with map_errors("decrypt"):
            out: bytes = self._context.update(data)
        if self._plan.padding is None:
            return out
        out = self._held + out
        keep = min(len(out), self._plan.block)
        out, self._held = out[: len(out) - keep], out[len(out) - keep :]
        return out

    def finalize(self) -> bytes:
        """The rest of the plaintext, its padding removed, its tag checked."""
        with map_errors("decrypt"):
            out: bytes = self._held + self._context.finalize()
        if self._plan.padding is None:
            return out
        return strip(self._plan.padding, out, self._plan.block)


class _Whole:
    """Collects a message that an algorithm needs in one piece."""

    __slots__ = ("_limit", "_parts", "_run", "_size")

    def __init__(self, run: Callable[[bytes], bytes], limit: int) -> None:
        self._run, self._limit, self._size = run, limit, 0
        self._parts: list[bytes] | None = []

    @property
    def size(self) -> int:
        return self._size

    def update(self, data: bytes) -> bytes:
        if self._parts is None:
            raise failure("the stream is already finished")
        self._size += len(data)
        if self._size > self._limit:
            raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"this mode takes at most {self._limit} bytes in parts")
        self._parts.append(data)
        return b""

    def finalize(self) -> bytes:
        if self._parts is None:
            raise failure("the stream is already finished")
        data, self._parts = b"".join(self._parts), None
        return self._run(data)


def _held(context: object) -> int:
    return context.size if isinstance(context, _Whole) else 0


def block_cipher(algorithm: CryptographicAlgorithm, key: bytes, *, allow_legacy: bool = True) -> BlockCipherAlgorithm:
    """The library's block cipher under a key, for MACs and key derivation. Unsupported where there is none."""
    row = _BLOCK.get(algorithm)
    if row is None:
        raise unsupported(f"{algorithm.text} is not a block cipher of this server")
    if row.legacy and not allow_legacy:
        raise unsupported(f"{algorithm.text} is a legacy algorithm that this server's policy does not allow")
    with map_errors("set up the cipher", Cause.BAD_CRYPTOGRAPHIC_PARAMETERS):
        return row.make(key)


def iv_bytes(algorithm: CryptographicAlgorithm, parameters: Parameters) -> int:
    """The bytes of IV/Counter/Nonce that this algorithm and mode have by default; 0: none."""
    row, block = _row(algorithm, parameters)
    return block.size if row.iv < 0 and block is not None else row.iv


def tag_bytes(algorithm: CryptographicAlgorithm, parameters: Parameters) -> int:
    """The bytes of Authenticated Encryption Tag that these parameters make; 0: none."""
    if not _row(algorithm, parameters)[0].tag:
        return 0
    return parameters.tag_length if parameters.tag_length is not None else 16


def _row(algorithm: CryptographicAlgorithm, parameters: Parameters) -> tuple[_Mode, _Block | None]:
    """The mode's row and the cipher's; refuses what is not served."""
    mode = parameters.block_cipher_mode
    if parameters.cryptographic_algorithm not in (None, algorithm):
        raise bad("the cryptographic algorithm is not that of the key")
    if algorithm == _A.CHACHA20_POLY1305:
        if mode not in (None, _M.AEAD):
            raise bad("ChaCha20-Poly1305 has the mode AEAD only")
        return _AEAD, None
    if algorithm in (_A.CHACHA20, _A.RC4):
        if mode is not None:
            raise bad(f"{algorithm.text} is a stream cipher and has no block cipher mode")
        return (_CHACHA20 if algorithm == _A.CHACHA20 else _STREAM), None
    block = _BLOCK.get(algorithm)
    if block is None:
        raise unsupported(f"encryption with {algorithm.text} is not available on this server")
    if mode is None:
        # KMIP 2.1 §6.1.17: "If there are no Cryptographic Parameters associated … and the algorithm requires parameters
        # then the operation SHALL return with a Result Status of Operation Failed."
        raise bad("a block cipher mode is needed")
    row = _MODES.get(mode)
    if row is None:
        raise unsupported(f"the mode {mode.text} is not available for encryption on this server")
    if row.aes_only and algorithm != _A.AES:
        raise unsupported(f"the mode {mode.text} is available with AES only")
    return row, block


def _plan(
    algorithm: CryptographicAlgorithm,
    key: bytes,
    parameters: Parameters,
    iv: bytes | None,
    aad: bytes,
    allow_legacy: bool,
    random: Random | None,
) -> _Plan:
    """Check every parameter; `random` is None when decrypting."""
    mode = parameters.block_cipher_mode
    row, block = _row(algorithm, parameters)
    if not allow_legacy and (algorithm == _A.RC4 or (block is not None and block.legacy)):
        raise unsupported(f"{algorithm.text} is a legacy algorithm that this server's policy does not allow")
    if not allow_legacy and mode == _M.ECB:
        raise unsupported("ECB is a legacy mode that this server's policy does not allow")
    used = _ALWAYS
    if mode == _M.CTR or algorithm == _A.CHACHA20:
        used = _WITH_COUNTER
    elif row.tag:
        used = _WITH_TAG
    elif row.iv:
        used = _WITH_IV
    parameters.only("encrypt", used)
    padding = parameters.padding_method
    if padding == PaddingMethod.NONE:
        padding = None
    if padding is not None and (not row.pads or padding not in BLOCK_METHODS):
        raise bad(f"the padding {padding.text} does not go with this algorithm and mode")
    if aad and not row.tag:
        raise bad("the mode authenticates no additional data")
    tag_length = 0
    if row.tag:
        tag_length = parameters.tag_length if parameters.tag_length is not None else 16
        if tag_length not in row.tag or (tag_length < _SHORT_TAG and not allow_legacy):
            # The conformance cases CS-BC-M-GCM-1 and CS-BC-M-CHACHA20POLY1305-1 have General Failure for this.
            raise KmipError(Cause.GENERAL_FAILURE, f"a tag of {tag_length} bytes does not go with this mode")
    size = block.size if block is not None else 0
    nonce, generated = vector(
        parameters, mode, iv, length=size if row.iv < 0 else row.iv, authenticated=bool(row.tag), random=random
    )
    nonce, limit = counter_block(algorithm, mode, parameters, nonce)
    return _Plan(algorithm, key, mode, row, size, padding, nonce, generated, tag_length, limit)


def _counted(plan: _Plan, count: int, data: bytes) -> int:
    count += len(data)
    if plan.limit and count > plan.limit:
        raise failure("the counter would repeat for this much data")
    return count


def _is_whole(plan: _Plan) -> bool:
    return plan.row.make is None and plan.algorithm not in (_A.CHACHA20, _A.RC4)


def _cipher(plan: _Plan, tag: bytes | None) -> Cipher[Any]:
    if plan.algorithm == _A.CHACHA20:
        return Cipher(algorithms.ChaCha20(plan.key, plan.iv), None)
    if plan.algorithm == _A.RC4:
        return Cipher(decrepit.ARC4(plan.key), None)
    cipher = _BLOCK[plan.algorithm].make(plan.key)
    if plan.mode == _M.GCM:
        return Cipher(cipher, modes.GCM(plan.iv, tag, min_tag_length=4))
    assert plan.row.make is not None
    return Cipher(cipher, plan.row.make(plan.iv))


def _seal_whole(plan: _Plan, data: bytes, aad: bytes) -> bytes:
    """Ciphertext, followed by the tag where there is one."""
    if plan.mode == _M.CCM:
        return AESCCM(plan.key, plan.tag_length).encrypt(plan.iv, data, aad)
    if plan.mode == _M.NIST_KEY_WRAP:
        return keywrap.aes_key_wrap(plan.key, data)
    if plan.mode == _M.AES_KEY_WRAP_PADDING:
        return keywrap.aes_key_wrap_with_padding(plan.key, data)
    if plan.mode == _M.XTS:
        context = Cipher(algorithms.AES(plan.key), modes.XTS(plan.iv)).encryptor()
        return context.update(data) + context.finalize()
    sealed = ChaCha20Poly1305(plan.key).encrypt(plan.iv, data, aad)
    return sealed[: len(data) + plan.tag_length]


def _open_whole(plan: _Plan, data: bytes, aad: bytes, tag: bytes) -> bytes:
    if plan.mode == _M.CCM:
        return AESCCM(plan.key, plan.tag_length).decrypt(plan.iv, data + tag, aad)
    if plan.mode == _M.NIST_KEY_WRAP:
        return keywrap.aes_key_unwrap(plan.key, data)
    if plan.mode == _M.AES_KEY_WRAP_PADDING:
        return keywrap.aes_key_unwrap_with_padding(plan.key, data)
    if plan.mode == _M.XTS:
        context = Cipher(algorithms.AES(plan.key), modes.XTS(plan.iv)).decryptor()
        return context.update(data) + context.finalize()
    if plan.tag_length < 16:
        # The library checks whole tags only; the whole tag is made of the ciphertext, and its beginning is compared.
        whole = _poly1305_tag(plan, data, aad)
        if not hmac.compare_digest(whole[: plan.tag_length], tag):
            raise NotAuthentic("decrypt: the data is not authentic")
        tag = whole
    return ChaCha20Poly1305(plan.key).decrypt(plan.iv, data + tag, aad)


def _poly1305_tag(plan: _Plan, ciphertext: bytes, aad: bytes) -> bytes:
    """The tag of RFC 8439 §2.8: Poly1305 under the first key-stream block over both texts and their lengths."""
    if len(plan.iv) != 12:
        raise bad("the nonce of ChaCha20-Poly1305 is 96 bits")
    stream = Cipher(algorithms.ChaCha20(plan.key, bytes(4) + plan.iv), None).encryptor()
    text = b"".join(
        part + bytes(-len(part) % 16)
        for part in (aad, ciphertext, len(aad).to_bytes(8, "little") + len(ciphertext).to_bytes(8, "little"))
    )
    return Poly1305.generate_tag(stream.update(bytes(32)), text)
