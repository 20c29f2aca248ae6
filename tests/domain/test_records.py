"""Records that carry authority cannot be made up by who writes to the database."""

from __future__ import annotations

import ast
import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import kmipsrv
from kmipsrv.domain.ports import Keyring
from kmipsrv.domain.records import KEY_SIZE, NOT_AUTHENTICATED, RecordSeal
from kmipsrv.engine.engine import Engine
from kmipsrv.errors import Cause, KmipError
from kmipsrv.identity.authenticator import CredentialAuthenticator
from kmipsrv.spec.enums import CredentialType, Operation, ResultReason
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_1
from kmipsrv.store.sqlite import SQLiteStore
from kmipsrv.ttlv.codec import BYTE_STRING, ENUMERATION, STRUCTURE, Item
from tests.harness import BOB, Client, Clock, make_engine, uid_item

ROOT = Path(kmipsrv.__file__).parent
SEAL = RecordSeal(bytes(range(KEY_SIZE)))

# What the program keeps that is in no table of exceptions; a new kind is added here, or there with its reason.
AUTHENTICATED = {
    *("ticket", "one-time password", "hashed password", "failed logins"),
    *("factory rules", "PKCS#11 session", "asynchronous waiting", "object group turn"),
    *("releases", "notice", "notices of dates"),
}


def kinds() -> dict[str, str]:
    """Every kind of record that the program writes -> a file that does: the first argument of `….work.write(KIND, …)`."""
    constants: dict[str, dict[str, str]] = {}
    calls: list[tuple[str, ast.expr]] = []
    for file in ROOT.rglob("*.py"):
        name = str(file.relative_to(ROOT.parent).with_suffix("")).replace("/", ".")
        here = constants.setdefault(name, {})
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                    here[target.id] = node.value.value
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                work = ast.unparse(node.func.value).rpartition(".")[2].lstrip("_")
                if node.func.attr in ("write", "add") and work == "work":
                    calls.append((name, node.args[0]))
    found = {}
    for module, argument in calls:
        text = ast.unparse(argument)
        everywhere = {known[text] for known in constants.values() if text in known}
        value = constants[module].get(text)
        if value is None and len(everywhere) == 1:  # imported
            (value,) = everywhere
        assert value is not None, f"{module}: what kind is {text}?"
        found[value] = module
    return found


def test_every_kind_of_record_is_authenticated_or_says_why_not() -> None:
    assert set(kinds()) == AUTHENTICATED | set(NOT_AUTHENTICATED)
    assert not AUTHENTICATED & set(NOT_AUTHENTICATED)
    assert all(NOT_AUTHENTICATED.values())


def test_a_record_is_bound_to_its_place() -> None:
    stored = SEAL.make("ticket", "key", "owner", b"value")
    assert SEAL.open("ticket", "key", "owner", stored) == b"value"
    for kind, key, owner, changed in (
        ("factory rules", "key", "owner", stored),
        ("ticket", "another", "owner", stored),
        ("ticket", "key", "another", stored),
        ("ticke", "tkey", "owner", stored),
        ("ticket", "key", "owner", stored + b"x"),
        ("ticket", "key", "owner", b"value"),
        ("ticket", "key", "owner", b""),
        ("ticket", "key", "owner", "text"),
        ("ticket", "key", b"owner", stored),
    ):
        with pytest.raises(KmipError) as caught:
            SEAL.open(kind, key, owner, changed)  # type: ignore[arg-type]
        assert caught.value.cause is Cause.CRYPTOGRAPHIC_FAILURE
    with pytest.raises(KmipError):
        RecordSeal(bytes(KEY_SIZE)).open("ticket", "key", "owner", stored)
    with pytest.raises(ValueError, match="octets"):
        RecordSeal(b"short")


@pytest.fixture
def engine(tmp_path: Path, keyring: Keyring, clock: Clock) -> Iterator[Engine]:
    made = make_engine(tmp_path, keyring, clock, authenticator=CredentialAuthenticator([], [], bytes(32)))
    yield made
    made.store.close()


def with_ticket(client: Client, ticket: list[Item]) -> Client:
    credential: list[Item] = [
        (Tag.CREDENTIAL_TYPE, ENUMERATION, int(CredentialType.TICKET)),
        (Tag.CREDENTIAL_VALUE, STRUCTURE, [(Tag.TICKET, STRUCTURE, ticket)]),
    ]
    return replace(
        client, header=[(Tag.AUTHENTICATION, STRUCTURE, [(Tag.CREDENTIAL, STRUCTURE, credential)])], version=V2_1
    )


def test_a_ticket_cannot_be_forged_in_the_database(engine: Engine, tmp_path: Path) -> None:
    """Neither a plain one, nor another's that is put in the place of one's own."""
    alice = Client(engine, V2_1)
    uid = alice.create()
    ticket = alice.ok(Operation.LOGIN).one(Tag.TICKET)
    (value,) = (content for tag, _, content in ticket if tag == Tag.TICKET_VALUE)
    with_ticket(alice, ticket).ok(Operation.GET, uid_item(uid))

    mine = b"m" * 32
    forged = b'{"owner":"default:CN=alice","tenant":"","bearer":"","user":"","requests":null,"operations":null,'
    forged += b'"expires":4000000000,"rights":null}'
    place = hashlib.sha256(mine).hexdigest()
    with closing(sqlite3.connect(tmp_path / "objects.db")) as database:
        database.execute("INSERT INTO records VALUES ('ticket', ?, 'default:CN=alice', ?, NULL)", (place, forged))
        database.commit()
    shown: list[Item] = [(tag, kind, mine if kind == BYTE_STRING else content) for tag, kind, content in ticket]
    thief = with_ticket(alice.as_(BOB), shown)
    assert thief.refused(Operation.GET, uid_item(uid)) is ResultReason.CRYPTOGRAPHIC_FAILURE
    with closing(sqlite3.connect(tmp_path / "objects.db")) as database:
        ((kept,),) = database.execute(
            "SELECT value FROM records WHERE key = ?", (hashlib.sha256(value).hexdigest(),)
        ).fetchall()
        assert b"alice" in kept
        database.execute("UPDATE records SET value = ? WHERE key = ?", (kept, place))
        database.commit()
    assert thief.refused(Operation.GET, uid_item(uid)) is ResultReason.CRYPTOGRAPHIC_FAILURE
    with_ticket(alice, ticket).ok(Operation.GET, uid_item(uid))


def test_records_wait_for_their_key(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "plain.db")
    with store.work() as work:
        work.write("policy order", "a", b"")
        for use in (lambda: work.write("ticket", "a", b"1"), lambda: work.add("anything new", "a", b"1")):
            with pytest.raises(RuntimeError, match="authenticates"):
                use()
    store.close()
