"""Reads the conformance cases for the tests of this room: operations on keys whose bytes the case itself registers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from kmipsrv.crypto.parameters import Parameters
from kmipsrv.spec import enums
from kmipsrv.spec.versions import Named

_ENUMS: dict[str, type[Named]] = {
    "BlockCipherMode": enums.BlockCipherMode,
    "PaddingMethod": enums.PaddingMethod,
    "HashingAlgorithm": enums.HashingAlgorithm,
    "DigitalSignatureAlgorithm": enums.DigitalSignatureAlgorithm,
    "CryptographicAlgorithm": enums.CryptographicAlgorithm,
    "MaskGenerator": enums.MaskGenerator,
    "MaskGeneratorHashingAlgorithm": enums.HashingAlgorithm,
}
_FIELDS = {
    "".join(part.capitalize() for part in name.split("_")).replace("Iv", "IV"): name
    for name in Parameters.__dataclass_fields__
}


@dataclass
class Key:
    """A registered object: what the case says of it."""

    kind: str
    form: str
    material: bytes
    algorithm: enums.CryptographicAlgorithm | None
    parameters: Parameters


@dataclass
class Call:
    """One request item with its answer; `keys` are the registered objects that it names, in order."""

    case: str
    operation: str
    request: ET.Element
    answer: ET.Element
    keys: list[Key] = field(default_factory=list)

    @property
    def parameters(self) -> Parameters:
        """The request's Cryptographic Parameters, or those of the key."""
        found = self.request.find(".//CryptographicParameters")
        if found is not None and len(found):
            return parameters(found)
        return self.keys[0].parameters

    def data(self, name: str) -> bytes | None:
        """A byte string of the request; None when it is absent or a symbol."""
        return _bytes(self.request.find(f"RequestPayload/{name}"))

    def answered(self, name: str) -> bytes | None:
        return _bytes(self.answer.find(f"ResponsePayload/{name}"))

    @property
    def succeeded(self) -> bool:
        status = self.answer.find("ResultStatus")
        return status is not None and status.get("value") == "Success"

    def __str__(self) -> str:
        return f"{self.case} {self.operation}"


def parameters(element: ET.Element) -> Parameters:
    """Cryptographic Parameters of a case."""
    values: dict[str, object] = {}
    for child in element:
        text = child.get("value", "")
        if child.tag in _ENUMS:
            values[_FIELDS[child.tag]] = named(_ENUMS[child.tag], text)
        elif child.tag == "PSource":
            values[_FIELDS[child.tag]] = bytes.fromhex(text)
        elif child.tag == "RandomIV":
            values[_FIELDS[child.tag]] = text == "true"
        else:
            values[_FIELDS[child.tag]] = int(text)
    return Parameters(**values)  # type: ignore[arg-type]


def named(kind: type[Named], text: str) -> Named:
    """A member by its name in XML; the cases spell 3DES as DES3."""
    wanted = re.sub(r"\W|_", "", text).lower()
    for member in kind:
        if wanted in (re.sub(r"\W|_", "", member.text).lower(), member.name.replace("_", "").lower()):
            return member
    raise LookupError(text)


def calls(shared: Path, *operations: str) -> Iterator[Call]:
    """Every call of the operations whose objects were all registered in clear by the same case."""
    for file in sorted((shared / "oasis").glob("*/*/*.xml")):
        text = re.sub(r"(?m)^\s*#.*$", "", file.read_text())
        try:
            root = ET.fromstring(text)
        except ET.ParseError:
            continue  # a few old cases are not well-formed before the repairs that a runner makes
        keys: dict[str, Key] = {}
        messages = [m for m in root if m.tag in ("RequestMessage", "ResponseMessage")]
        for asked, answered in itertools.pairwise(messages):
            if (asked.tag, answered.tag) != ("RequestMessage", "ResponseMessage"):
                continue
            for request, answer in zip(asked.iter("BatchItem"), answered.iter("BatchItem"), strict=False):
                operation = request.find("Operation")
                name = operation.get("value", "") if operation is not None else ""
                if name == "Register":
                    _register(request, answer, keys)
                if name in operations:
                    used = [u.get("value", "") for u in request.findall("RequestPayload/UniqueIdentifier")]
                    if all(uid in keys for uid in used):
                        yield Call(file.name, name, request, answer, [keys[uid] for uid in used])


def length_of(payload: ET.Element) -> int:
    """The Cryptographic Length that a request asks for, in either way of writing attributes."""
    found = payload.find(".//CryptographicLength")
    if found is not None:
        return int(found.get("value", ""))
    for attribute in payload.iter("Attribute"):
        name, value = attribute.find("AttributeName"), attribute.find("AttributeValue")
        if name is not None and name.get("value") == "Cryptographic Length" and value is not None:
            return int(value.get("value", ""))
    raise LookupError("Cryptographic Length")


def last_material(file: Path) -> bytes | None:
    """The last Key Material that a case's answers show."""
    root = ET.fromstring(re.sub(r"(?m)^\s*#.*$", "", file.read_text()))
    found = [m for answer in root.iter("ResponseMessage") for m in answer.iter("KeyMaterial")]
    return _bytes(found[-1]) if found else None


def _register(request: ET.Element, answer: ET.Element, keys: dict[str, Key]) -> None:
    uid = answer.find("ResponsePayload/UniqueIdentifier")
    material = _bytes(request.find(".//KeyMaterial"))
    if uid is None or material is None or request.find(".//KeyWrappingData") is not None:
        return
    payload = request.find("RequestPayload")
    assert payload is not None
    kind, form = payload.find("ObjectType"), request.find(".//KeyFormatType")
    algorithm = request.find(".//KeyBlock/CryptographicAlgorithm")
    given = request.find(".//CryptographicParameters")
    if given is None:
        for attribute in request.iter("Attribute"):
            name, value = attribute.find("AttributeName"), attribute.find("AttributeValue")
            if name is not None and name.get("value") == "Cryptographic Parameters" and value is not None:
                given = value
    keys[uid.get("value", "")] = Key(
        kind.get("value", "") if kind is not None else "",
        form.get("value", "") if form is not None else "",
        material,
        named(enums.CryptographicAlgorithm, algorithm.get("value", ""))  # type: ignore[arg-type]
        if algorithm is not None
        else None,
        parameters(given) if given is not None else Parameters(),
    )


def _bytes(element: ET.Element | None) -> bytes | None:
    if element is None or element.get("type") != "ByteString":
        return None
    try:
        return bytes.fromhex(element.get("value", ""))
    except ValueError:
        return None
