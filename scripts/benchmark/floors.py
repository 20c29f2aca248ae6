"""The floors of this machine: what one request cannot do without, each alone, in this process and on one core.

Figures are a second. The store's are the server's own statements, on a file of its own beside the server's.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

from kmipsrv.domain.binding import Binding
from kmipsrv.domain.ports import StoredObject
from kmipsrv.keyring import provision
from kmipsrv.release.gate import own_grant
from kmipsrv.store.sqlite import SQLiteStore

OWNER = "default:CN=benchmark"
OBJECTS = 1000
GROUP = 50
MATERIAL = bytes(120)  # octets, as many as an AES-256 key with its Key Block has


def rate(call: Callable[[], object], seconds: float, each: int = 1) -> float:
    """How often a second `call`, which does `each` things, does one."""
    done, end = 0, time.perf_counter() + seconds
    start = time.perf_counter()
    while (now := time.perf_counter()) < end:
        call()
        done += each
    return done / (now - start)


def measure(folder: Path, seconds: float) -> dict[str, float]:
    """Every floor by name, `seconds` for each."""
    return {**keyring(folder / "keyring", seconds), **store(folder / "store", seconds)}


def keyring(folder: Path, seconds: float) -> dict[str, float]:
    """The envelope on a SoftHSM2 token."""
    folder.mkdir(mode=0o700)
    envelope = provision.open_keyring(provision.initialise(folder).settings)
    binding = Binding("0b8d3c4e-5b0c-4a43-9a35-0c84a4d1ef5e", 0, "", OWNER)
    sealed = envelope.seal(MATERIAL, binding)
    grant = own_grant(binding)
    return {
        "unseal": rate(lambda: envelope.open(sealed, binding, grant), seconds),
        "seal": rate(lambda: envelope.seal(MATERIAL, binding), seconds),
    }


def store(folder: Path, seconds: float) -> dict[str, float]:
    """The SQLite store: reads by key in one transaction, commits with their flush to the disk."""
    folder.mkdir(mode=0o700)
    opened = SQLiteStore(folder / "floor.db")
    numbers = itertools.count()

    def insert(count: int) -> None:
        with opened.work() as work:
            for _ in range(count):
                work.insert(_object(next(numbers)))

    insert(OBJECTS)
    names = itertools.cycle(_object(number).unique_identifier for number in range(OBJECTS))
    with opened.work() as work:
        read = rate(lambda: work.find(OWNER, next(names)), seconds)
    alone = rate(lambda: insert(1), seconds)
    group = rate(lambda: insert(GROUP), seconds, GROUP)
    opened.close()
    return {"read by key": read, "durable commit, one row": alone, f"durable commit, {GROUP} rows": group}


def _object(number: int) -> StoredObject:
    name = f"{number:08x}-5b0c-4a43-9a35-0c84a4d1ef5e"
    return StoredObject(name, 2, OWNER, "", os.urandom(300), os.urandom(250), initial_date=number)
