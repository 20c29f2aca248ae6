"""What the tests of the verifiers share."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from kmipsrv.release.evidence import Claims, Endorsements, Refused, verify
from tests.release.verifiers.attesters import Made
from tests.release.verifiers.pki import NOW

Verify = Callable[..., Claims]
Refusal = Callable[..., str]


@pytest.fixture(scope="session")
def evidence(shared: Path) -> Path:
    """The folder of real evidence."""
    return shared / "attestation" / "evidence"


def accepted(kind: str, made: Made, nonce: bytes | None = None, now: datetime.datetime = NOW) -> Claims:
    """The claims of evidence made by `attesters.py`."""
    return verify(kind, made.evidence, Endorsements.parse(made.endorsements), now, nonce)


def refused(kind: str, made: Made, nonce: bytes | None = None, now: datetime.datetime = NOW) -> str:
    """The step at which it is refused."""
    with pytest.raises(Refused) as caught:
        accepted(kind, made, nonce, now)
    return caught.value.step


def survivors(
    kind: str,
    content: bytes,
    endorsements: Endorsements,
    now: datetime.datetime,
    offsets: Iterable[int],
    masks: Sequence[int] = (0xFF,),
    embed: Callable[[bytes], bytes] = bytes,
) -> list[tuple[int, int]]:
    """The (offset, mask) at which evidence with one changed byte is still accepted. `embed` makes evidence of content."""
    accepted_at = []
    for offset in offsets:
        for mask in masks:
            changed = bytearray(content)
            changed[offset] ^= mask
            try:
                verify(kind, embed(bytes(changed)), endorsements, now)
            except Refused:
                continue
            accepted_at.append((offset, mask))
    return accepted_at
