"""The server as a client of its endpoints (KMIP 2.1 §6.2): one thread for each sends what waits for it, in order.

A notice is forgotten when the endpoint has answered with Success, so it may arrive twice, never not at all within its time.
An endpoint that is away, or whose certificate does not hold, is tried again, later and later. One that refuses a message
gets it `attempts` times; then the next one has its turn.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from kmipsrv.client.connection import Connection
from kmipsrv.client.failures import OperationFailed, ProtocolFailure
from kmipsrv.client.messages import read_response, request_message
from kmipsrv.domain.notices import Endpoint
from kmipsrv.errors import KmipError
from kmipsrv.spec.enums import Operation

logger = logging.getLogger(__name__)

TIMEOUT: Final = 10.0  # seconds for any one step of a connection
POLL: Final = 0.5  # seconds between two looks for notices, which any process of the server may leave
FIRST_PAUSE: Final = 1.0  # seconds after the first failure; doubled after each further one


class Post(Protocol):
    """What waits for endpoints; see engine/post.py."""

    def look(self, endpoint: Endpoint) -> None: ...

    def waiting(self, endpoint: Endpoint) -> list[tuple[str, bytes]]: ...

    def compose(self, endpoint: Endpoint, key: str, record: bytes) -> tuple[Operation, Any] | None: ...

    def done(self, key: str) -> None: ...


class Delivery:
    """Delivers to one endpoint from `start` to `stop`. `connect` raises OSError; pauses are in seconds."""

    def __init__(
        self,
        post: Post,
        endpoint: Endpoint,
        connect: Callable[[], Connection],
        *,
        attempts: int,
        longest_pause: float,
        poll: float = POLL,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self._post = post
        self._endpoint = endpoint
        self._connect = connect
        self._attempts = attempts
        self._longest_pause = longest_pause
        self._poll = poll
        self._first_pause = first_pause
        self._refused = ("", 0)  # the notice at the head of the queue and how often it was refused
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"delivery {endpoint.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Send nothing more. -> whether the thread has ended within `timeout`"""
        self._stop.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause, failures = 0.0, 0
        while not self._stop.wait(pause):
            try:
                self._post.look(self._endpoint)
                self._deliver()
                pause, failures = self._poll, 0
            except (KmipError, OSError, OperationFailed, ProtocolFailure) as error:
                pause, failures = self._pause(failures), failures + 1
                logger.warning("endpoint %s: %s; again in %.0f s", self._endpoint.name, error, pause)
            except Exception:
                pause, failures = self._pause(failures), failures + 1
                logger.exception("endpoint %s", self._endpoint.name)

    def _pause(self, failures: int) -> float:
        return float(min(self._first_pause * 2 ** min(failures, 16), self._longest_pause))

    def _deliver(self) -> None:
        """Send all that waits on one connection. Raises what the first failure raises."""
        notices = self._post.waiting(self._endpoint)
        if not notices:
            return
        connection = self._connect()  # before anything is opened for an endpoint that is not there
        try:
            for key, record in notices:
                if self._stop.is_set():
                    return
                try:
                    self._send(connection, key, record)
                except (KmipError, OSError):
                    raise
                except Exception as error:
                    self._count(key, error)
                    raise
                self._post.done(key)
        finally:
            connection.close()

    def _send(self, connection: Connection, key: str, record: bytes) -> None:
        composed = self._post.compose(self._endpoint, key, record)
        if composed is not None:
            operation, request = composed
            version = self._endpoint.version
            read_response(connection.exchange(request_message(version, operation, request)), version, operation)
            logger.info("endpoint %s: %s of %s", self._endpoint.name, operation.text, request.unique_identifier)

    def _count(self, key: str, error: Exception) -> None:
        """A message was refused, or is none: it does not stop those behind it for ever."""
        known, count = self._refused
        count = count + 1 if known == key else 1
        self._refused = key, count
        if count >= self._attempts:
            logger.warning("endpoint %s: a notice is given up after %d attempts: %s", self._endpoint.name, count, error)
            self._post.done(key)
