"""Every row of the specification's error tables (1.4 §11, 2.1 §6.1.x "Error Handling"), for every operation that is served:
provoked and its Result Reason seen, or listed with the reason why it cannot occur.

`ROWS` (tests/operations/errors) are those of single operations, `GENERAL` those that every operation shares, `IMPOSSIBLE` the
rest. Where the specification's texts are at hand (`shared`), the three together are held against them: no row may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kmipsrv.domain.ports import Keyring
from kmipsrv.domain.settings import Settings
from kmipsrv.operations._registry import OPERATIONS, load_all
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_4, V2_1, Version
from kmipsrv.ttlv.codec import (
    BOOLEAN,
    ENUMERATION,
    INTEGER,
    STRUCTURE,
    TEXT_STRING,
    Item,
    decode,
    encode,
)
from tests.harness import Client, Clock, make_engine
from tests.operations.errors import LIMIT, ROWS, Row
from tests.operations.requests import Bench

load_all()
CLASSIC, MODERN = V1_4, V2_1  # the versions that stand for theirs
SERVED = [row.operation for row in OPERATIONS.values() if row.advertised is None]


@pytest.fixture
def bench(tmp_path: Path, keyring: Keyring, clock: Clock) -> Iterator[Bench]:
    settings = Settings(attribute_instances=LIMIT, maximum_split_key_parts=LIMIT, allow_legacy_algorithms=True)
    engine = make_engine(tmp_path, keyring, clock, settings)
    yield Bench(Client(engine))
    engine.store.close()


def cases() -> Iterator[tuple[Row, Version, R]]:
    for row in ROWS:
        for version, reason in ((CLASSIC, row.classic), (MODERN, row.modern)):
            if reason is not None and OPERATIONS[row.operation].exists_in(version):
                yield row, version, reason


@pytest.mark.parametrize(("row", "version", "reason"), list(cases()), ids=str)
def test_row(bench: Bench, row: Row, version: Version, reason: R) -> None:
    bench.client = bench.client.at(version)
    assert row.provoke(bench) is reason


# ----------------------------------------------------------------------------------------- what every operation shares


def message(client: Client, item: list[Item], *header: Item) -> R | None:
    """The reason that the one item of a request is answered with."""
    frame = decode(client.frame([(O.GET, [])], *header))
    tag, kind, (head, _) = frame
    (answer,) = client.message(encode((tag, kind, [head, (Tag.BATCH_ITEM, STRUCTURE, item)])))[1]
    return answer.reason


def operation_item(operation: O) -> Item:
    return Tag.OPERATION, ENUMERATION, int(operation)


EMPTY: Item = (Tag.REQUEST_PAYLOAD, STRUCTURE, [])


@pytest.mark.parametrize("version", [CLASSIC, MODERN])
@pytest.mark.parametrize("operation", SERVED, ids=lambda operation: operation.camel)
class TestGeneral:
    """1.4 §11.1; in 2.1 they stand in each operation's table."""

    def test_invalid_message(self, client: Client, operation: O, version: Version) -> None:
        payload: Item = (Tag.REQUEST_PAYLOAD, INTEGER, 1)
        reason = message(client.at(version), [operation_item(operation), payload])
        assert reason is (R.INVALID_MESSAGE if served(operation, version) else R.OPERATION_NOT_SUPPORTED)

    def test_invalid_field(self, client: Client, operation: O, version: Version) -> None:
        alien: Item = (Tag.RESULT_MESSAGE, TEXT_STRING, "no request has this")
        reason = message(client.at(version), [operation_item(operation), (Tag.REQUEST_PAYLOAD, STRUCTURE, [alien])])
        assert reason is (R.INVALID_FIELD if served(operation, version) else R.OPERATION_NOT_SUPPORTED)

    def test_feature_not_supported(self, client: Client, operation: O, version: Version) -> None:
        extension: Item = (
            Tag.MESSAGE_EXTENSION,
            STRUCTURE,
            [
                (Tag.VENDOR_IDENTIFICATION, TEXT_STRING, "acme"),
                (Tag.CRITICALITY_INDICATOR, BOOLEAN, True),
                (Tag.VENDOR_EXTENSION, STRUCTURE, []),
            ],
        )
        reason = message(client.at(version), [operation_item(operation), EMPTY, extension])
        assert reason is (R.FEATURE_NOT_SUPPORTED if served(operation, version) else R.OPERATION_NOT_SUPPORTED)

    def test_response_too_large(self, client: Client, operation: O, version: Version) -> None:
        limit: Item = (Tag.MAXIMUM_RESPONSE_SIZE, INTEGER, 1)
        assert message(client.at(version), [operation_item(operation), EMPTY], limit) is R.RESPONSE_TOO_LARGE

    def test_operation_not_supported(self, client: Client, operation: O, version: Version) -> None:
        """In the versions that do not have the operation."""
        for other in Version:
            if not served(operation, other):
                reason = message(client.at(other), [operation_item(operation), EMPTY])
                assert reason is R.OPERATION_NOT_SUPPORTED


def served(operation: O, version: Version) -> bool:
    return OPERATIONS[operation].exists_in(version)


GENERAL = {
    R.INVALID_MESSAGE: "TestGeneral.test_invalid_message",
    R.INVALID_FIELD: "TestGeneral.test_invalid_field",
    R.FEATURE_NOT_SUPPORTED: "TestGeneral.test_feature_not_supported",
    R.RESPONSE_TOO_LARGE: "TestGeneral.test_response_too_large",
    R.OPERATION_NOT_SUPPORTED: "TestGeneral.test_operation_not_supported",
    R.PERMISSION_DENIED: "tests/access: the roles decide before the operation begins",
    R.ATTESTATION_REQUIRED: "tests/release: the gate decides before the operation begins",
    R.ATTESTATION_FAILED: "tests/release: the gate decides before the operation begins",
}

# ------------------------------------------------------------------------------------------------- what cannot occur

_NO_GENERATION_FAILURE = "the generator does not fail; what cannot be made is refused as an invalid value before"
_ONE_CAUSE = "the table has two names for one cause: it is answered with Attribute Read Only"
_ALL_METHODS = "every Split Key Method of the enumeration is served, an unknown one is an Invalid Field"
_ARCHIVED_SHOWN = "TC-101 reads the attributes of an archived object"
_CASES_SAY_DENIED = "CS-BC-M-7 and §6.1.17 say Permission Denied"
_NO_MASKS = "the payload has no Protection Storage Masks"
_NO_SPECIFICATION = "a registered object comes without a Key Wrapping Specification"
_ALWAYS_COMPUTED = "hashes and MACs of any data can be computed"
_REFUSED_BEFORE = "what a key cannot sign is refused as bad parameters before"
_INVALID = "a signature that cannot be one is answered with Validity Indicator Invalid"
_ALL_TYPES = "every Object Type of the enumeration may have them, another one is an Invalid Field"
IMPOSSIBLE: dict[tuple[O, Version, R], str] = {
    (O.CREATE, CLASSIC, R.CRYPTOGRAPHIC_FAILURE): _NO_GENERATION_FAILURE,
    (O.CREATE, MODERN, R.CRYPTOGRAPHIC_FAILURE): _NO_GENERATION_FAILURE,
    (O.CREATE_KEY_PAIR, CLASSIC, R.CRYPTOGRAPHIC_FAILURE): _NO_GENERATION_FAILURE,
    (O.CREATE_KEY_PAIR, MODERN, R.CRYPTOGRAPHIC_FAILURE): _NO_GENERATION_FAILURE,
    (O.RE_KEY, CLASSIC, R.CRYPTOGRAPHIC_FAILURE): _NO_GENERATION_FAILURE,
    (O.RE_KEY, MODERN, R.CRYPTOGRAPHIC_FAILURE): _NO_GENERATION_FAILURE,
    (O.RE_KEY_KEY_PAIR, CLASSIC, R.CRYPTOGRAPHIC_FAILURE): _NO_GENERATION_FAILURE,
    (O.RE_KEY_KEY_PAIR, MODERN, R.CRYPTOGRAPHIC_FAILURE): _NO_GENERATION_FAILURE,
    (O.RNG_RETRIEVE, CLASSIC, R.CRYPTOGRAPHIC_FAILURE): _NO_GENERATION_FAILURE,
    (O.RNG_RETRIEVE, MODERN, R.CRYPTOGRAPHIC_FAILURE): _NO_GENERATION_FAILURE,
    (O.RNG_SEED, CLASSIC, R.CRYPTOGRAPHIC_FAILURE): _NO_GENERATION_FAILURE,
    (O.RNG_SEED, MODERN, R.CRYPTOGRAPHIC_FAILURE): _NO_GENERATION_FAILURE,
    (O.CREATE, MODERN, R.READ_ONLY_ATTRIBUTE): _ONE_CAUSE,
    (O.JOIN_SPLIT_KEY, MODERN, R.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS): _ALL_METHODS,
    (O.GET_ATTRIBUTES, CLASSIC, R.OBJECT_ARCHIVED): _ARCHIVED_SHOWN,
    (O.GET_ATTRIBUTE_LIST, CLASSIC, R.OBJECT_ARCHIVED): _ARCHIVED_SHOWN,
    (O.ENCRYPT, MODERN, R.USAGE_LIMIT_EXCEEDED): _CASES_SAY_DENIED,
    (O.SIGN, MODERN, R.USAGE_LIMIT_EXCEEDED): _CASES_SAY_DENIED,
    (O.MAC, MODERN, R.USAGE_LIMIT_EXCEEDED): _CASES_SAY_DENIED,
    (O.CHECK, MODERN, R.USAGE_LIMIT_EXCEEDED): _CASES_SAY_DENIED,
    (O.GET_USAGE_ALLOCATION, MODERN, R.USAGE_LIMIT_EXCEEDED): _CASES_SAY_DENIED,
    (O.OBTAIN_LEASE, MODERN, R.USAGE_LIMIT_EXCEEDED): "leases are not counted",
    (O.IMPORT, MODERN, R.PROTECTION_STORAGE_UNAVAILABLE): _NO_MASKS,
    (O.ENCRYPT, MODERN, R.MISSING_INITIALIZATION_VECTOR): "CS-BC-M-11 to -13 say Invalid Message",
    (O.DECRYPT, MODERN, R.MISSING_INITIALIZATION_VECTOR): "CS-BC-M-11 to -13 say Invalid Message",
    (O.REGISTER, CLASSIC, R.ENCODING_OPTION_ERROR): _NO_SPECIFICATION,
    (O.REGISTER, MODERN, R.ENCODING_OPTION_ERROR): _NO_SPECIFICATION,
    (O.IMPORT, CLASSIC, R.ENCODING_OPTION_ERROR): _NO_SPECIFICATION,
    (O.IMPORT, MODERN, R.ENCODING_OPTION_ERROR): _NO_SPECIFICATION,
    (O.HASH, CLASSIC, R.CRYPTOGRAPHIC_FAILURE): _ALWAYS_COMPUTED,
    (O.HASH, MODERN, R.CRYPTOGRAPHIC_FAILURE): _ALWAYS_COMPUTED,
    (O.MAC, CLASSIC, R.CRYPTOGRAPHIC_FAILURE): _ALWAYS_COMPUTED,
    (O.MAC, MODERN, R.CRYPTOGRAPHIC_FAILURE): _ALWAYS_COMPUTED,
    (O.MAC_VERIFY, CLASSIC, R.CRYPTOGRAPHIC_FAILURE): _ALWAYS_COMPUTED,
    (O.MAC_VERIFY, MODERN, R.CRYPTOGRAPHIC_FAILURE): _ALWAYS_COMPUTED,
    (O.SIGN, CLASSIC, R.CRYPTOGRAPHIC_FAILURE): _REFUSED_BEFORE,
    (O.SIGN, MODERN, R.CRYPTOGRAPHIC_FAILURE): _REFUSED_BEFORE,
    (O.RE_PROVISION, MODERN, R.CRYPTOGRAPHIC_FAILURE): "a certificate is taken over, nothing is computed",
    (O.SIGNATURE_VERIFY, CLASSIC, R.CRYPTOGRAPHIC_FAILURE): _INVALID,
    (O.SIGNATURE_VERIFY, MODERN, R.CRYPTOGRAPHIC_FAILURE): _INVALID,
    (O.GET_CONSTRAINTS, MODERN, R.INVALID_OBJECT_TYPE): "the payload names no Object Type",
    (O.SET_CONSTRAINTS, MODERN, R.INVALID_OBJECT_TYPE): _ALL_TYPES,
    (O.SET_DEFAULTS, MODERN, R.INVALID_OBJECT_TYPE): _ALL_TYPES,
    (O.DELETE_ATTRIBUTE, MODERN, R.WRONG_KEY_LIFECYCLE_STATE): "no attribute with a rule about states can be deleted",
    (
        O.PKCS_11,
        MODERN,
        R.INVALID_ASYNCHRONOUS_CORRELATION_VALUE,
    ): "the payload has a Correlation Value of its own kind",
    (O.PKCS_11, MODERN, R.PKCS_11_CODEC_ERROR): "parameters that cannot be read are answered with CKR_ARGUMENTS_BAD",
    (O.GET_ATTRIBUTES, MODERN, R.INVALID_ATTRIBUTE): 'what does not exist "SHALL NOT be present in the response"',
}


# ---------------------------------------------------------------------------------------------------- nothing forgotten


def named(text: str) -> set[R]:
    """The Result Reasons in a table's cell."""
    return {reason for reason in R if re.search(rf"\b{re.escape(reason.text)}\b", text, re.IGNORECASE)}


def classic_tables(text: str) -> Iterator[tuple[O, R]]:
    """1.4 §11.2 ff.: a line for each error, its reason in the last column."""
    operation: O | None = None
    for line in text.splitlines():
        heading = re.match(r"## 11\.\d+ (.+)", line)
        if heading:
            operation = operation_named(heading[1])
        cells = [cell.strip() for cell in line.split("|")]
        if operation is not None and len(cells) >= 3 and not cells[0].startswith("Error Definition"):
            yield from ((operation, reason) for reason in named(cells[2]))


def modern_tables(text: str) -> Iterator[tuple[O, R]]:
    """2.1 §6.1.x.1: all reasons of an operation in one line."""
    operation: O | None = None
    for line in text.splitlines():
        heading = re.match(r"#### 6\.1\.\d+\.1 Error Handling *[-–] *(.+)", line)
        if heading:
            operation = operation_named(heading[1])
        elif operation is not None and line.startswith("Operation Failed |"):
            for cell in line.split("|")[1].split(","):
                yield from ((operation, reason) for reason in R if reason.text.casefold() == cell.strip().casefold())
            operation = None


def operation_named(text: str) -> O | None:
    return next((each for each in O if each.text.casefold() == text.strip().casefold()), None)


@pytest.mark.parametrize(
    ("version", "document", "tables"),
    [(CLASSIC, "kmip-spec-v1.4-os.txt", classic_tables), (MODERN, "kmip-spec-v2.1-os.txt", modern_tables)],
)
def test_no_row_of_the_tables_is_missing(shared: Path, version: Version, document: str, tables: object) -> None:
    assert callable(tables)
    required = set(tables((shared / "spec" / document).read_text(encoding="utf-8")))
    assert len(required) > 150
    provoked = {(row.operation, reason) for row, each, reason in cases() if each is version}
    listed = {(operation, reason) for operation, each, reason in IMPOSSIBLE if each is version}
    assert not provoked & listed
    missing = {
        (operation, reason)
        for operation, reason in required - provoked - listed
        if operation in OPERATIONS and reason not in GENERAL
    }
    assert not {f"{operation.camel}: {reason.text}" for operation, reason in missing}
