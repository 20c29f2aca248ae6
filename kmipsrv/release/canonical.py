"""JSON that means one thing: strict reading, and the canonical form of RFC 8785 (JCS).

Everything in this room that is signed, hashed or judged as JSON passes here. `loads` reads what I-JSON (RFC 7493)
allows: UTF-8, no duplicate member names (§2.3), no lone surrogates (§2.1), no NaN or Infinity, and bounded size and
depth. `dumps` writes the canonical form: members sorted by UTF-16 code units (RFC 8785 §3.2.3), strings escaped as
ECMAScript's JSON.stringify does (§3.2.2.2), numbers as ECMAScript's Number::toString does (§3.2.2.3).

One deliberate difference: integers read here stay exact Python integers, because evidence carries 64-bit counters.
`dumps` refuses those whose digits a double would not keep (RFC 8785 §3.2.2.3 knows doubles only), so nothing is
ever rounded in silence.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Final, NoReturn

Json = Any
"""None, bool, int, float, str, list of Json, or dict from str to Json."""

MAX_DEPTH: Final = 32
MAX_SAFE_INTEGER: Final = 2**53 - 1  # RFC 7493 §2.2
_MAX_DIGITS: Final = 40  # room for 128-bit integers; more is not a number that any claim carries


class NotJson(ValueError):
    """The text is not the JSON that this room accepts; the message says why, without the text."""


def loads(text: bytes | str, *, limit: int, depth: int = MAX_DEPTH) -> Json:
    """The value that `text` holds, at most `limit` bytes long and `depth` containers deep.

    Raises `NotJson` for anything else, and nothing but `NotJson`.
    """
    if len(text) > limit:
        raise NotJson(f"longer than {limit} bytes")
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(
            decoded,
            object_pairs_hook=_members,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except NotJson:
        raise
    except UnicodeDecodeError:
        raise NotJson("not UTF-8") from None
    except RecursionError:
        raise NotJson(f"nested deeper than {depth}") from None
    except ValueError:
        raise NotJson("not a JSON text") from None
    check(value, depth=depth)
    return value


def check(value: Json, *, depth: int = MAX_DEPTH) -> None:
    """Raise `NotJson` unless `value` is JSON no deeper than `depth`, with strings that UTF-8 can carry."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise NotJson("a lone surrogate in a string") from None
    elif isinstance(value, dict | list):
        if depth <= 0:
            raise NotJson("nested too deeply")
        if isinstance(value, dict):
            for name in value:
                if not isinstance(name, str):
                    raise NotJson("a member name that is not a string")
                check(name)
        for item in value.values() if isinstance(value, dict) else value:
            check(item, depth=depth - 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise NotJson("a number that is not finite")
    elif not (value is None or isinstance(value, bool | int)):
        raise NotJson(f"a value of type {type(value).__name__}")


def dumps(value: Json) -> bytes:
    """The canonical form of `value` (RFC 8785). Raises `NotJson` for what has none."""
    check(value)
    return _write(value).encode("utf-8")


def digest(value: Json) -> str:
    """`sha256:` and the lower-case hexadecimal SHA-256 of the canonical form."""
    return "sha256:" + hashlib.sha256(dumps(value)).hexdigest()


def _write(value: Json) -> str:
    if isinstance(value, dict):
        # RFC 8785 §3.2.3: sorted as arrays of UTF-16 code units, which is the order of their big-endian bytes.
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{_string(name)}:{_write(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER and (value.bit_length() > 1023 or _float(float(value)) != str(value)):
            raise NotJson("an integer that a double does not hold has no canonical form; write it as a string")
        return str(value)
    return _float(value)


def _string(text: str) -> str:
    # json's escapes without ensure_ascii are exactly those of RFC 8785 §3.2.2.2: \b \t \n \f \r \" \\ and \u00xx.
    return json.dumps(text, ensure_ascii=False)


def _float(number: float) -> str:
    """ECMA-262 §6.1.6.1.20 Number::toString; Python's repr yields the same shortest digits in another layout."""
    if number == 0:
        return "0"  # also for -0, RFC 8785 §3.2.2.3
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    # n as in ECMA-262: the value is 0.digits × 10^n
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = point - 1
    scientific = digits[0] + (f".{digits[1:]}" if count > 1 else "")
    return f"{sign}{scientific}e{'+' if power >= 0 else '-'}{abs(power)}"


def _members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # RFC 8259 §4: what receivers do with duplicate names "is unpredictable"; two readers of one text must not
        # differ.
        raise NotJson("a member name appears twice in one object")
    return members


def _no_constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise NotJson(f"an integer of more than {_MAX_DIGITS} digits")
    return int(digits)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotJson("a number beyond the range of a double")
    return number
