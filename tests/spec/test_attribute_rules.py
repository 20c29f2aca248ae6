"""The rows of spec/attributes.py against the specification's "Attribute Rules" tables, and the generated names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kmipsrv.spec import enums
from kmipsrv.spec.attributes import ATTRIBUTES, BY_NAME, Attribute
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Named, NamedFlag, Version

# Where a row is wider than the table's letter, and why.
WIDER = {
    # Create and Register requests carry them ("Initially set by Server" means: once, when the object is made).
    ("Cryptographic Algorithm", "S"),
    ("Cryptographic Length", "S"),
    ("Key Format Type", "S"),
    ("Certificate Type", "S"),
    ("Certificate Length", "S"),  # 2.1 Table 293: "SHALL be included in the Register request"
    ("Digital Signature Algorithm", "S"),
    # "Usage Limits Total and/or Unit only, as long as Get Usage Allocation has not been performed": in code.
    ("Usage Limits", "S"),
}


def rules(shared: Path, version: str) -> dict[str, dict[str, str]]:
    """Attribute -> row of its table -> answer."""
    tables = json.loads((shared / "spec" / "tables" / version / "attribute-rules.json").read_text())
    found = {}
    for table in tables:
        name = re.sub(r"^[\d.]+\s+", "", table["section"][-1])
        found[name] = {row[0].lower(): row[1] for row in table["rows"] if len(row) > 1}
    return found


def answer(table: dict[str, str], beginning: str) -> str:
    return next((value for key, value in table.items() if key.startswith(beginning)), "")


@pytest.mark.shared
@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3", "1.4", "2.0", "2.1"])
def test_every_attribute_has_its_row_and_the_row_says_what_the_table_says(shared: Path, version: str) -> None:
    known = Version[f"V{version.replace('.', '_')}"]
    compared = 0
    for name, table in rules(shared, version).items():
        if name in (
            "Attributes",
            "Object Attributes",
            "Custom Attribute",
            "Vendor Attribute",
            "Certificate Attributes",
        ):
            continue
        row = BY_NAME[name]
        assert row.exists_in(known), name
        compared += 1
        setter, modify = answer(table, "initially"), answer(table, "modifiable by client")
        assert ("*" in row.rules) == answer(table, "multiple").startswith("Yes"), name
        assert ("D" in row.rules) == answer(table, "deletable").startswith("Yes"), name
        assert ("M" in row.rules) <= modify.startswith("Yes") or name in NARROW_1X, name
        if modify.startswith("Yes"):
            assert "M" in row.rules, name
        if set("CS") & set(row.rules):
            assert "Client" in setter or (name, "S") in WIDER or known < Version.V2_0, name
        if "Client" in setter and not setter.startswith("Server (Usage"):
            assert set("CS") & set(row.rules), name
    assert compared > 30


# 1.x let a client change these that 2.x does not.
NARROW_1X = {"Operation Policy Name"}


@pytest.mark.shared
@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3", "1.4", "2.0", "2.1"])
def test_no_version_has_an_attribute_that_its_text_does_not_name(shared: Path, version: str) -> None:
    known = Version[f"V{version.replace('.', '_')}"]
    named = set(rules(shared, version))
    for row in ATTRIBUTES.values():
        if row.exists_in(known) and not _certificate_part(row):
            assert row.name in named, row.name


def _certificate_part(row: Attribute) -> bool:
    """2.x lists the parts of the certificate's names in one table, "Certificate Attributes"."""
    return bool(re.match(r"Certificate (Subject|Issuer) ", row.name))


@pytest.mark.shared
@pytest.mark.parametrize("version", ["1.0", "1.2", "1.4", "2.0", "2.1", "3.0"])
def test_the_generated_codes_are_the_tables(shared: Path, version: str) -> None:
    known = Version[f"V{version.replace('.', '_')}"]
    tags = json.loads((shared / "spec" / "tables" / version / "tags.json").read_text())
    for name, code in tags.items():
        if "eserved" not in name and re.fullmatch(r"0x42[0-9A-F]{4}", code):
            tag = Tag(int(code, 16))
            assert tag.exists_in(known), name
    tables = json.loads((shared / "spec" / "tables" / version / "enums.json").read_text())
    checked = 0
    for title, rows in tables.items():
        words = re.sub(r"\s+Enumeration.*", "", re.sub(r"^[\d.]+\s+", "", title)).split()
        enumeration = getattr(enums, "".join(word[:1].upper() + word[1:] for word in words), None)
        if enumeration is None or not issubclass(enumeration, Named):
            continue
        for name, code in rows.items():
            if "eserved" not in name and re.fullmatch(r"0x[0-9A-F]{8}", code):
                assert enumeration(int(code, 16)).exists_in(known), (title, name)
                checked += 1
    assert checked > 150


def test_names_are_told_apart_in_every_encoding() -> None:
    """Two members with one CamelCase name could not be read from XML or JSON."""
    for group in [
        Tag,
        *(each for each in vars(enums).values() if isinstance(each, type) and issubclass(each, Named | NamedFlag)),
    ]:
        names = [member.camel for member in group]
        assert len(names) == len(set(names)), group
