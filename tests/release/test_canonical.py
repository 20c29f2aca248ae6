"""RFC 8785 canonical JSON, and the strict reading before it."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmipsrv.release.canonical import NotJson, digest, dumps, loads

# RFC 8785 Appendix B: IEEE 754 bits -> text
NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


@pytest.mark.parametrize(("bits", "text"), NUMBERS)
def test_numbers_are_written_as_ecmascript_writes_them(bits: str, text: str) -> None:
    number = struct.unpack(">d", bytes.fromhex(bits))[0]
    assert dumps(number).decode() == text


def test_the_example_of_the_standard() -> None:
    # RFC 8785 §3.2.2 and §3.2.3
    source = r"""{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
                  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"""
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert dumps(loads(source, limit=1000)).decode() == expected


def test_names_are_sorted_by_utf_16_code_units() -> None:
    # RFC 8785 §3.2.3; the last two differ from the order of code points
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    ordered = list(json.loads(dumps(dict.fromkeys(names, 0))))
    assert ordered == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


REFUSED = {
    "duplicate name": b'{"a": 1, "a": 2}',
    "duplicate name inside": b'[{"x": {"a": 1, "\\u0061": 1}}]',
    "nan": b"[NaN]",
    "infinity": b"-Infinity",
    "beyond a double": b"1e999",
    "lone surrogate": b'"\\ud800"',
    "lone surrogate as name": b'{"\\udc00": 1}',
    "not utf-8": b'"\xff"',
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "too many digits": b"9" * 41,
    "nothing": b"",
    "two values": b"1 2",
    "trailing comma": b"[1,]",
    "deep arrays": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 40 + b"1" + b"}" * 40,
    "too long": b" " * 1_000_001,
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_two_readers_could_read_differently_is_refused(text: bytes) -> None:
    with pytest.raises(NotJson):
        loads(text, limit=1_000_000)


def test_an_integer_that_a_double_rounds_has_no_canonical_form() -> None:
    assert loads("9007199254740993", limit=100) == 2**53 + 1
    with pytest.raises(NotJson):
        dumps({"a": 2**53 + 1})
    assert dumps(2**53) == b"9007199254740992"  # what the double is written as
    with pytest.raises(NotJson):
        dumps(10**400)


@given(st.binary(max_size=100))
def test_any_bytes_are_json_or_refused(data: bytes) -> None:
    try:
        value = loads(data, limit=100)
    except NotJson:
        return
    assert json.loads(data) == value or value != value


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53) + 1, 2**53 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"])),
    ),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=5)
    ),
)


@given(json_values)
def test_the_canonical_form_is_stable_and_means_the_same(value: object) -> None:
    text = dumps(value)
    assert json.loads(text, parse_int=float) == json.loads(json.dumps(value), parse_int=float)
    assert dumps(loads(text, limit=10**6)) == text
    assert digest(value) == digest(loads(text, limit=10**6))
