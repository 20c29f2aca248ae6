"""The registry and its fences: sizes, text forms, unknown types, and that any bytes are claims or a refusal."""

from __future__ import annotations

import datetime
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmipsrv.release import text
from kmipsrv.release.evidence import MAX_EVIDENCE, TYPES, Endorsements, Refused, verify
from kmipsrv.release.verifiers import der, protobuf
from tests.release.verifiers import attesters, tpm_attesters
from tests.release.verifiers.pki import NOW

HARDWARE = [kind for kind, row in TYPES.items() if not row.text]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("filling", [b"\x00", b"A", b"[", b"{", b"\xd2", b"ab"])
def test_ten_megabytes(kind: str, filling: bytes) -> None:
    begin = time.perf_counter()
    with pytest.raises(Refused) as caught:
        verify(kind, filling * (10_000_000 // len(filling)), Endorsements(), NOW)
    assert caught.value.step == "size"
    assert time.perf_counter() - begin < 0.2


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("filling", [b"\x00", b"A", b"[", b'{"":', b"\xd2", b"ab", b"\xff"])
def test_the_largest_evidence_is_refused_quickly(kind: str, filling: bytes) -> None:
    begin = time.perf_counter()
    with pytest.raises(Refused):
        verify(kind, filling * (min(TYPES[kind].limit, MAX_EVIDENCE) // len(filling)), Endorsements(), NOW)
    assert time.perf_counter() - begin < 1.0


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("content", [b"", b" ", b"\n", b"\x00", b"null", b'""', b"0x"])
def test_next_to_nothing(kind: str, content: bytes) -> None:
    with pytest.raises(Refused):
        verify(kind, content, Endorsements(), NOW)


def test_unknown_type() -> None:
    with pytest.raises(Refused) as caught:
        verify("sample", b"x", Endorsements(), NOW)
    assert caught.value.step == "type"


def test_a_time_without_zone_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="aware"):
        verify("snp", b"x", Endorsements(), datetime.datetime(2026, 1, 1))


MADE: dict[str, Callable[..., attesters.Made]] = {
    "snp": attesters.make_snp,
    "tdx": attesters.make_quote,
    "nitro": attesters.make_nitro,
    "tpm": tpm_attesters.make_tpm,
    "az-snp-vtpm": tpm_attesters.make_azure,
    "nvidia": attesters.make_nvidia,
    "cca": attesters.make_cca,
}


@pytest.mark.parametrize("kind", MADE)
def test_mutations_are_refused_or_harmless(kind: str) -> None:
    """Bytes removed, doubled and swapped: nothing but Refused comes out, and never other claims."""
    made = MADE[kind]()
    endorsements = Endorsements.parse(made.endorsements)
    honest = verify(kind, made.evidence, endorsements, NOW)
    chance = random.Random(4711)
    for _ in range(150):
        content = bytearray(made.evidence)
        start = chance.randrange(len(content))
        end = min(len(content), start + chance.choice((1, 2, 8, 64)))
        change = chance.randrange(3)
        if change == 0:
            del content[start:end]
        elif change == 1:
            content[start:start] = content[start:end]
        else:
            content[start:end] = bytes(chance.randrange(256) for _ in range(end - start))
        try:
            claims = verify(kind, bytes(content), endorsements, NOW)
        except Refused:
            continue
        for name in ("measurement", "debug", "report_data", "nonce"):
            assert claims.get(name) == honest.get(name)


@given(st.sampled_from(HARDWARE), st.binary(max_size=1500))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_refused(kind: str, content: bytes) -> None:
    with pytest.raises(Refused):
        verify(kind, content, Endorsements(), NOW)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"00ff", b"\x00\xff"),
        (b"0x00FF\n", b"\x00\xff"),
        (b"00 ff\r\n00", b"\x00\xff\x00"),
        (b"AP8=", b"\x00\xff"),
        (b"AP8", b"\x00\xff"),
        (b"-_-_", b"\xfb\xff\xbf"),
        (b"+/+/", b"\xfb\xff\xbf"),
        (b"+_+/", b"+_+/"),  # two alphabets are none
        (b'{"a": 1}', b'{"a": 1}'),
        (b"a.b.c", b"a.b.c"),
        (b"\x00ff", b"\x00ff"),
        (b"\xff00", b"\xff00"),
    ],
)
def test_decoded(content: bytes, expected: bytes) -> None:
    assert text.decoded(content) == expected


@given(st.binary(min_size=1, max_size=300))
def test_readers_of_other_encodings(data: bytes) -> None:
    for reader in (der.read_all, protobuf.parse, text.from_base64):
        assert outcome(reader, data) in ("read", "refused")


def outcome(reader: Callable[[bytes], object], data: bytes) -> str:
    """Anything but a value or ValueError is a defect, and fails the test that asks."""
    try:
        reader(data)
    except ValueError:
        return "refused"
    return "read"


@pytest.mark.parametrize("data", ["3080", "308100", "30820001", "3085", "1f8101", "30", "3002", "0201"])
def test_der_that_is_not_distinguished(data: str) -> None:
    with pytest.raises(ValueError, match="DER"):
        der.read_all(bytes.fromhex(data))


def test_object_identifiers() -> None:
    for encoded, dotted in (("2a864886f84d010d01", "1.2.840.113741.1.13.1"), ("678105050401", "2.23.133.5.4.1")):
        assert der.object_identifier(der.read_all(bytes((6, len(encoded) // 2)) + bytes.fromhex(encoded))) == dotted


def test_protobuf() -> None:
    message = protobuf.parse(bytes.fromhex("08960112026869") + b"\x1d\x01\x00\x00\x00")
    assert message.number(1) == 150
    assert message.octet(2) == b"hi"
    assert message.octet(9) == b""
    for bad in ("0896", "12ff01", "0b", "00", "08" + "ff" * 11, "0801", "12"):
        if bad == "0801":
            with pytest.raises(ValueError, match="twice"):
                protobuf.parse(bytes.fromhex(bad * 2)).number(1)
            continue
        with pytest.raises(ValueError, match="protobuf"):
            protobuf.parse(bytes.fromhex(bad))
