"""The room's promise over everything a client can send: any parameters end in a result or in a KmipError, soon."""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kmipsrv.crypto import asymmetric, ciphers, formats, hashes, kdf, keygen, keywrap, macs, signatures, splitkey
from kmipsrv.crypto.parameters import Parameters
from kmipsrv.errors import KmipError
from kmipsrv.spec import enums

_SIZES = st.sampled_from([-1, 0, 1, 4, 8, 12, 16, 32, 64, 96, 128, 2**31 - 1])


def rarely(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """None four times out of five: with eighteen fields, most combinations would be refused for one of them."""
    return st.integers(0, 4).flatmap(lambda n: values if n == 0 else st.none())


parameters = st.builds(
    Parameters,
    block_cipher_mode=st.none() | (st.sampled_from(enums.BlockCipherMode)),
    padding_method=st.none() | (st.sampled_from(enums.PaddingMethod)),
    hashing_algorithm=st.none() | (st.sampled_from(enums.HashingAlgorithm)),
    key_role_type=rarely(st.sampled_from(enums.KeyRoleType)),
    digital_signature_algorithm=rarely(st.sampled_from(enums.DigitalSignatureAlgorithm)),
    cryptographic_algorithm=rarely(st.sampled_from(enums.CryptographicAlgorithm)),
    random_iv=rarely(st.booleans()),
    iv_length=rarely(_SIZES),
    tag_length=rarely(_SIZES),
    fixed_field_length=rarely(_SIZES),
    invocation_field_length=rarely(_SIZES),
    counter_length=rarely(_SIZES),
    initial_counter_value=rarely(_SIZES),
    salt_length=rarely(_SIZES),
    mask_generator=rarely(st.sampled_from(enums.MaskGenerator)),
    mask_generator_hashing_algorithm=rarely(st.sampled_from(enums.HashingAlgorithm)),
    p_source=rarely(st.binary(max_size=8)),
    trailer_field=rarely(_SIZES),
)
keys = st.sampled_from(
    [b"", bytes(1), bytes(8), bytes(range(16)), bytes(range(24)), bytes(range(32)), bytes(range(64))]
)
data = st.sampled_from([b"", b"x", bytes(8), bytes(16), bytes(33), bytes(256)])
algorithms = st.sampled_from(enums.CryptographicAlgorithm)
quick = settings(deadline=2000, max_examples=300, suppress_health_check=list(HealthCheck))


@functools.cache
def pairs() -> list[formats.PrivateKey]:
    wanted: list[tuple[enums.CryptographicAlgorithm, int | None]] = [
        (enums.CryptographicAlgorithm.RSA, 1024),
        (enums.CryptographicAlgorithm.DSA, 1024),
        (enums.CryptographicAlgorithm.EC, 256),
        (enums.CryptographicAlgorithm.ED25519, None),
        (enums.CryptographicAlgorithm.ML_DSA_44, None),
        (enums.CryptographicAlgorithm.DH, 2048),
    ]
    return [keygen.generate_pair(algorithm, length) for algorithm, length in wanted]


def ends_well(run: Any, *args: Any, **kwargs: Any) -> object:
    """The result, or None for a refusal; anything else fails the test."""
    try:
        return run(*args, **kwargs)
    except KmipError:
        return None


@quick
@given(algorithms, keys, parameters, data, st.none() | data, data, st.none() | data, st.booleans())
def test_encrypt_and_decrypt(
    algorithm: enums.CryptographicAlgorithm,
    key: bytes,
    given_: Parameters,
    text: bytes,
    iv: bytes | None,
    aad: bytes,
    tag: bytes | None,
    legacy: bool,
) -> None:
    made = ends_well(
        ciphers.encrypt, algorithm, key, given_, text, iv=iv, aad=aad, random=os.urandom, allow_legacy=legacy
    )
    ends_well(ciphers.decrypt, algorithm, key, given_, text, iv=iv, aad=aad, tag=tag, allow_legacy=legacy)
    if isinstance(made, ciphers.Encrypted) and given_.padding_method != enums.PaddingMethod.ZEROS:
        back = ciphers.decrypt(
            algorithm, key, given_, made.data, iv=made.iv or iv, aad=aad, tag=made.tag, allow_legacy=legacy
        )
        assert back == text


@quick
@given(algorithms, keys, parameters, data, st.booleans())
def test_mac_hash_and_wrap(
    algorithm: enums.CryptographicAlgorithm, key: bytes, given_: Parameters, text: bytes, legacy: bool
) -> None:
    code = ends_well(macs.mac, algorithm, key, given_, text, allow_legacy=legacy)
    if isinstance(code, bytes):
        macs.verify_mac(algorithm, key, given_, text, code, allow_legacy=legacy)
    ends_well(hashes.hash_data, given_, text)
    wrapping = keywrap.WrappingKey(algorithm, key, given_)
    for method in enums.WrappingMethod:
        made = ends_well(
            keywrap.wrap,
            method, text, encryption=wrapping, authentication=wrapping, random=os.urandom, allow_legacy=legacy,
        )  # fmt: skip
        ends_well(keywrap.unwrap, method, text, encryption=wrapping, iv=text, allow_legacy=legacy)
        assert made is None or isinstance(made, keywrap.Wrapped)


@quick
@given(st.integers(0, 5), parameters, data, st.booleans(), st.booleans())
def test_sign_verify_and_rsa(which: int, given_: Parameters, text: bytes, ready: bool, legacy: bool) -> None:
    private = pairs()[which]
    public = formats.public_of(private)
    message: dict[str, Any] = {"digested" if ready else "data": text}
    made = ends_well(signatures.sign, private, given_, allow_legacy=legacy, **message)
    ends_well(signatures.verify, public, given_, text, allow_legacy=legacy, **message)
    if isinstance(made, bytes):
        signatures.verify(public, given_, made, allow_legacy=legacy, **message)
    sealed = ends_well(asymmetric.encrypt, public, given_, text, random=os.urandom, allow_legacy=legacy)
    ends_well(asymmetric.decrypt, private, given_, text, allow_legacy=legacy)
    if isinstance(sealed, bytes) and given_.padding_method != enums.PaddingMethod.NONE:
        assert asymmetric.decrypt(private, given_, sealed, allow_legacy=legacy) == text


@quick
@given(
    st.sampled_from(enums.DerivationMethod),
    st.builds(
        kdf.Derivation,
        key=st.none() | keys,
        key_algorithm=st.none() | algorithms,
        parameters=parameters,
        data=st.lists(data, max_size=3).map(tuple),
        iv=st.none() | data,
        salt=st.none() | data,
        iteration_count=st.sampled_from([None, -1, 0, 1, 1000, 2**31 - 1]),
        allow_legacy=st.booleans(),
    ),
    st.sampled_from([-1, 0, 1, 16, 32, 100, 8192, 2**31 - 1]),
)
def test_derive(method: enums.DerivationMethod, given_: kdf.Derivation, length: int) -> None:
    made = ends_well(kdf.derive, method, given_, length)
    assert made is None or (isinstance(made, bytes) and len(made) == length)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Parameters)])
def test_no_parameter_is_silently_ignored_by_aes_cbc(field: str) -> None:
    """Each parameter that AES-CBC has no use for is refused; the others change or check something."""
    used = {"block_cipher_mode", "padding_method", "cryptographic_algorithm", "random_iv", "iv_length"}
    values: dict[str, object] = {
        "hashing_algorithm": enums.HashingAlgorithm.SHA_256,
        "key_role_type": enums.KeyRoleType.KEK,
        "digital_signature_algorithm": enums.DigitalSignatureAlgorithm.RSASSA_PSS,
        "mask_generator": enums.MaskGenerator.MGF1,
        "mask_generator_hashing_algorithm": enums.HashingAlgorithm.SHA_1,
        "p_source": b"",
    }
    if field in used:
        return
    changed = dataclasses.replace(Parameters(enums.BlockCipherMode.CBC), **{field: values.get(field, 8)})  # type: ignore[arg-type]
    with pytest.raises(KmipError):
        ciphers.encrypt(
            enums.CryptographicAlgorithm.AES, bytes(16), changed, bytes(16), iv=bytes(16), random=os.urandom
        )


@quick
@given(
    st.sampled_from(enums.SplitKeyMethod),
    st.integers(-1, 70),
    st.integers(-1, 70),
    st.sampled_from([None, -1, 0, 1, 2, 97, 2**127 - 1, 2**128, 2**521 - 1]),
    st.none() | st.sampled_from(enums.SplitKeyPolynomial),
    data,
)
def test_split(
    method: enums.SplitKeyMethod,
    parts: int,
    threshold: int,
    prime: int | None,
    polynomial: enums.SplitKeyPolynomial | None,
    secret: bytes,
) -> None:
    scheme = ends_well(splitkey.Scheme, method, parts, threshold, prime, polynomial)
    if not isinstance(scheme, splitkey.Scheme):
        return
    made = ends_well(splitkey.split, secret, scheme, os.urandom)
    if isinstance(made, list):
        assert splitkey.join(dict(enumerate(made, 1)), scheme, length=len(secret)) == secret
    ends_well(splitkey.join, {1: secret, 2: secret}, scheme)
