"""What a process that holds keys does before it starts, what it writes, and what it tells systemd."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import resource
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from kmipsrv.config import Logging
from kmipsrv.errors import ConfigError

PR_SET_DUMPABLE: Final = 4  # prctl(2)
LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def harden() -> None:
    """No core dumps, no reading of this memory by other processes of the same user, private files; forks inherit it.

    The limit of open files, of which each connection is one, is raised as far as this process may.
    """
    os.umask(0o077)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise ConfigError(f"core dumps cannot be switched off: {os.strerror(ctypes.get_errno())}")


class _Text(logging.Formatter):
    """Lines for people. Line breaks inside a message are escaped: a client's text cannot forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = record.getMessage().replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        more = "".join(f" {name}={value!r}" for name, value in _extra(record).items())
        line = f"{time} {record.levelname.lower():7} {record.name.removeprefix('kmipsrv.')}: {message}{more}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave as `extra=`: a correlation id, an identity."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def set_up_logging(settings: Logging) -> None:
    """One handler, on standard error; whoever starts the server decides where that goes."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if settings.format == "json" else _Text())
    logging.basicConfig(level=LEVELS[settings.level], handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # These say at INFO and below what a statement's parameters or a request's headers were.
    for name in ("sqlalchemy", "alembic", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, LEVELS[settings.level]))


def notify(state: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell systemd (sd_notify(3)): `READY=1`, `STOPPING=1`, `STATUS=…`. False where no systemd listens."""
    where = environ.get("NOTIFY_SOCKET", "")
    if not where.startswith(("/", "@")):
        return False
    if where.startswith("@"):  # the abstract namespace
        where = f"\0{where[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.connect(where)
            connection.sendall(state.encode())
    except OSError as error:
        logging.getLogger(__name__).warning("systemd could not be told %s: %s", state, error.strerror)
        return False
    return True
