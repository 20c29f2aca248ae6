"""Detached EAT Bundles (RFC 9711 §5): one token, and beside it the tokens that it names by digest (§4.2.18.2).

NVIDIA's attestation service answers with one. The overall token is only as good as the detached ones: each of them
must be there, be signed by the same issuer, and have the digest that the overall token states, taken over the token's
text.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from kmipsrv.release.canonical import Json, NotJson, loads
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.refusal import Refused
from kmipsrv.release.verifiers.jws import MAX_TOKEN, Token, encode_base64url, verify_jws

MAX_DETACHED: Final = 32
_HASHES: Final = {"SHA-256": hashlib.sha256, "SHA-384": hashlib.sha384, "SHA-512": hashlib.sha512}


def open_bundle(evidence: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The main token and the detached ones by name; a token that is not in a bundle comes back alone. Raises Refused."""
    if not evidence.startswith(b"["):
        return evidence, {}
    try:
        bundle = loads(evidence, limit=MAX_TOKEN)
    except NotJson as error:
        raise Refused("structure", f"not acceptable JSON: {error}") from None
    match bundle:
        case [["JWT", str(main)], dict(detached)] if 1 <= len(detached) <= MAX_DETACHED:
            texts = [main, *detached.values()]
            if all(isinstance(text, str) and text.isascii() for text in texts):
                return main.encode("ascii"), {name: str(text).encode("ascii") for name, text in detached.items()}
    raise Refused("structure", "not a detached bundle of a JWT and the JWTs that it names")


def verify_bundle(
    token: Token, detached: Mapping[str, bytes], endorsements: Endorsements, now: datetime.datetime
) -> dict[str, Json]:
    """The claims of `token`, with those of each detached token in place of its digest. Raises Refused("submodule")."""
    if not detached:
        return token.claims
    submodules = token.claims.get("submods")
    submodules = submodules if isinstance(submodules, dict) else {}
    named = {name for name, value in submodules.items() if isinstance(value, list) and value[:1] == ["DIGEST"]}
    if named != set(detached):
        raise Refused("submodule", "the tokens of the bundle are not those that the main token names")
    verified = dict(submodules)
    for name, text in detached.items():
        _check_digest(submodules[name], text)
        part = verify_jws(text, endorsements, now)
        if part.claims.get("iss") != token.claims.get("iss"):
            raise Refused("submodule", "a token of the bundle has another issuer")
        verified[name] = part.claims
    return {**token.claims, "submods": verified}


def _check_digest(stated: Json, text: bytes) -> None:
    match stated:
        case ["DIGEST", [str(algorithm), str(digest)]] if algorithm in _HASHES:
            actual = _HASHES[algorithm](text).digest()
            # base64url by the RFC; hexadecimal by NVIDIA
            if any(
                hmac.compare_digest(digest.encode(), form.encode()) for form in (actual.hex(), encode_base64url(actual))
            ):
                return
            raise Refused("submodule", "a token of the bundle does not have the digest that the main token states")
    raise Refused("submodule", "a digest of an unknown form")
