"""Files that are there whole or not at all, and that nobody else may read."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write the file, mode 0600, flushed to the disk before it gets its name. FileExistsError unless `replace`.

    What replaces a file belongs to whom it belonged: root renews what a service's user has to read."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if replace and path.exists() and os.geteuid() == 0:
                before = path.stat()
                os.fchown(descriptor, before.st_uid, before.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            path.hardlink_to(draft)  # unlike a rename, this fails where the name is taken
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_folder(path: Path) -> None:
    """Make the folder, mode 0700, and the folders above it; one that is there stays as it is."""
    if not path.is_dir():
        path.mkdir(parents=True, mode=0o700)
