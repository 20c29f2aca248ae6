"""Endorsements and trust anchors on disk, as an operator pinned them: one folder for each type of evidence.

    endorsements/tpm/3f0a….pem        an attestation key
    endorsements/snp/9c41….der        a chain
    endorsements/maa/77be….json       a JWKS, bound to its issuer

A file's name is the SHA-256 of its content: what is there twice is there once, and a file that was changed is found out
and refused. An anchor given for one type of evidence vouches for no other. `kmipsrv attest import` writes here, the gate
reads here; nothing is ever fetched.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kmipsrv.release.canonical import NotJson, dumps, loads
from kmipsrv.release.endorsements import MAX_FILE, Endorsements
from kmipsrv.release.evidence import TYPES
from kmipsrv.release.refusal import Refused
from kmipsrv.release.text import decoded

MAX_FILES: Final = 4096
BOUND: Final = frozenset(("maa", "ita", "jwt"))
"""Results that more than one issuer signs. A key that was bound to none could sign for all of them."""
_NAME: Final = re.compile(r"([0-9a-f]{64})\.(pem|der|json)")


@dataclass(frozen=True, slots=True)
class Stored:
    """One file of the store."""

    evidence_type: str
    id: str
    """SHA-256 of the content, in hexadecimal."""
    path: Path


def add(folder: Path, evidence_type: str, content: bytes, issuer: str = "") -> Stored:
    """Keep the endorsements in `content` for evidence of a type.

    A JWK Set says nothing of whose it is: `issuer` binds its keys to the tokens of that issuer, and where there can be
    several it must be given. Raises Refused("endorsements") for what is no endorsement, or not bound; OSError.
    """
    content, suffix = _normal(content, issuer)
    bag = Endorsements.parse([content])
    if bag == Endorsements():
        raise Refused("endorsements", "there is nothing in it that verifies evidence")
    if evidence_type in BOUND:
        if bag.public_keys:
            raise Refused("endorsements", "give the keys of an issuer as a JWK Set, which can be bound to it")
        if any(not isinstance(jwk.get("issuer"), str) or not jwk["issuer"] for jwk in bag.jwks):
            raise Refused("endorsements", "say whose keys these are (--issuer)")
    stored = _stored(folder, evidence_type, hashlib.sha256(content).hexdigest(), suffix)
    stored.path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    _write(stored.path, content)
    return stored


def entries(folder: Path, evidence_type: str | None = None) -> Iterator[Stored]:
    """What is kept, in order of type and id. Raises Refused("endorsements") for what has no business there; OSError."""
    for kind in TYPES if evidence_type is None else (evidence_type,):
        place = _place(folder, kind)
        if not place.is_dir():
            continue
        names = sorted(path.name for path in place.iterdir() if not path.name.startswith("."))
        if len(names) > MAX_FILES:
            raise Refused("endorsements", f"more than {MAX_FILES} files in {place}")
        for name in names:
            match = _NAME.fullmatch(name)
            if match is None:
                raise Refused("endorsements", f"{place / name} was not put there by `kmipsrv attest import`")
            yield Stored(kind, match[1], place / name)


def remove(folder: Path, evidence_type: str, identifier: str) -> Stored:
    """Forget the one entry whose id begins with `identifier`. Raises Refused("endorsements") unless it is one; OSError."""
    found = [stored for stored in entries(folder, evidence_type) if stored.id.startswith(identifier)]
    if not identifier or len(found) != 1:
        raise Refused("endorsements", f"{len(found) if identifier else 'all'} entries have an id like this")
    found[0].path.unlink()
    return found[0]


def load(folder: Path, evidence_type: str) -> Endorsements:
    """All that is pinned for a type of evidence; an empty bag where nothing is. Raises Refused("endorsements"), OSError."""
    return Endorsements.parse([read(stored) for stored in entries(folder, evidence_type)])


def read(stored: Stored) -> bytes:
    """An entry's content. Raises Refused("endorsements") where it is not what was imported; OSError."""
    descriptor = os.open(stored.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refused("endorsements", f"{stored.path} is not a file")
        content = file.read(MAX_FILE + 1)
    if hashlib.sha256(content).hexdigest() != stored.id:
        raise Refused("endorsements", f"{stored.path} was changed after it was imported")
    return content


def _normal(content: bytes, issuer: str) -> tuple[bytes, str]:
    """-> the content as it is kept, its suffix. A JWK Set gets the member that binds it to its issuer."""
    if len(content) > MAX_FILE:
        raise Refused("endorsements", f"more than {MAX_FILE} bytes")
    content = decoded(content)
    if content.lstrip()[:1] not in (b"{", b"["):
        if issuer:
            raise Refused("endorsements", "only a JWK Set has an issuer")
        return content, "pem" if b"-----BEGIN " in content else "der"
    try:
        value = loads(content, limit=MAX_FILE)
    except NotJson as error:
        raise Refused("endorsements", f"not JSON: {error}") from None
    if isinstance(value, dict) and "kty" in value and issuer:
        value = {"keys": [value]}
    if not (isinstance(value, dict) and isinstance(value.get("keys"), list)):
        if issuer:
            raise Refused("endorsements", "only a JWK Set has an issuer")
        return content, "json"
    if issuer and value.setdefault("issuer", issuer) != issuer:
        raise Refused("endorsements", "the JWK Set names another issuer")
    return (dumps(value) if issuer else content), "json"


def _place(folder: Path, evidence_type: str) -> Path:
    if evidence_type not in TYPES:
        raise Refused("type", "unknown type of evidence")
    return folder / evidence_type


def _stored(folder: Path, evidence_type: str, identifier: str, suffix: str) -> Stored:
    return Stored(evidence_type, identifier, _place(folder, evidence_type) / f"{identifier}.{suffix}")


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, mode 0600, on the disk before it has its name."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    place = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(place)
    finally:
        os.close(place)
