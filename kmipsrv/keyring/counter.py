"""How many seals each version of the master key has made, in a file beside the token.

NIST SP 800-38D §8.3: with random 96-bit IVs one key may be used 2^32 times. Seals are reserved in blocks: one locked,
flushed write for each block and process, and nothing at all for a seal within it. A process that stops gives the rest
of its block up.

The file has one line for each version, "version reserved". A missing file is an error and never a fresh start: what was
forgotten would be counted from zero again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from kmipsrv.errors import Cause, ConfigError, KmipError
from kmipsrv.keyring.master import MAX_SEALS

log = logging.getLogger(__name__)

BLOCK: Final = 1 << 16
MAX_FILE: Final = 1 << 16  # bytes; thousands of versions
WARN_AT: Final = MAX_SEALS // 4 * 3


class FileCounter:
    """A `master.SealCounter` that all processes of one state directory share. Any thread may call it."""

    def __init__(self, path: Path, block: int = BLOCK) -> None:
        self._path = path
        self._block = block
        self._left: dict[int, int] = {}  # by version: what remains of this process's block
        self._process = os.getpid()
        self._lock = threading.Lock()

    @staticmethod
    def create(path: Path, used_up: Iterable[int] = ()) -> bool:
        """Make the file unless it is there, with versions that shall seal no more. -> whether it was made."""
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(b"".join(b"%d %d\n" % (version, MAX_SEALS) for version in used_up))
                file.flush()
                os.fsync(file.fileno())
            path.hardlink_to(draft)
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        return True

    def take(self, version: int) -> None:
        """See `master.SealCounter`. Raises KmipError(GENERAL_FAILURE) when the file cannot be written."""
        with self._lock:
            if self._process != os.getpid():  # the block of the process this one was forked from is not ours
                self._left, self._process = {}, os.getpid()
            left = self._left.get(version, 0)
            if left <= 0:
                left = self._reserve(version)
            self._left[version] = left - 1

    def reserved(self) -> dict[int, int]:
        """Seals reserved so far, by version. Raises ConfigError when the file is missing or not ours."""
        try:
            with self._path.open("rb") as file:
                return _parse(file.read(MAX_FILE + 1), self._path)
        except OSError as error:
            raise ConfigError(
                f"the seal counter {self._path} cannot be read ({type(error).__name__}): restore it from the backup, "
                "or let `kmipsrv rotate-master-key` begin a new one"
            ) from error

    def _reserve(self, version: int) -> int:
        try:
            with self._path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                counts = _parse(file.read(MAX_FILE + 1), self._path)
                before = counts.get(version, 0)
                granted = min(self._block, MAX_SEALS - before)
                if granted <= 0:
                    log.error("version %d of the master key has made 2^32 seals: rotate the master key", version)
                    raise KmipError(
                        Cause.CRYPTOGRAPHIC_FAILURE, "the master key is used up; the operator must rotate it"
                    )
                if before + granted > WARN_AT:
                    log.warning("version %d of the master key has made %d of 2^32 seals: rotate it", version, before)
                counts[version] = before + granted
                # Counts only grow, so the new text is never shorter than the old one, and one small write replaces it.
                file.seek(0)
                file.write("".join(f"{number} {count}\n" for number, count in sorted(counts.items())).encode())
                file.flush()
                os.fsync(file.fileno())
                return granted
        except (OSError, ConfigError) as error:
            log.error("the seal counter %s cannot be used: %s", self._path, error)
            raise KmipError(Cause.GENERAL_FAILURE, "the key store cannot seal at the moment") from error


def _parse(text: bytes, path: Path) -> dict[int, int]:
    """The counts in the file's text. Raises ConfigError."""
    try:
        if len(text) > MAX_FILE:
            raise ValueError
        counts = {int(version): int(count) for version, count in (line.split() for line in text.decode().splitlines())}
        if not all(0 < version < 2**32 and 0 <= count <= MAX_SEALS for version, count in counts.items()):
            raise ValueError
    except ValueError as error:
        raise ConfigError(f"{path} is not a seal counter; restore it from the backup") from error
    return counts
