"""Several processes on one listening socket, and the parent that keeps them alive.

The parent makes sockets and the TLS context, then forks; it never opens a token, a database or a thread, none of
which survives a fork. It starts a dead worker again, later and later if it keeps dying, and passes signals on:

    SIGTERM, SIGINT   to all workers, which drain; the parent ends with the last of them
    SIGHUP            to all workers, which reload
    SIGCHLD           a worker has ended

A worker whose parent is gone drains by itself: it holds the reading end of a pipe whose writing end only the parent
has. With one worker there is no parent: `serve.run` is the whole process.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kmipsrv.errors import ConfigError
from kmipsrv.server.limits import Shares

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seat:
    """A worker's place among the others."""

    worker: int
    shares: Shares
    lifeline: int
    "the reading end of a pipe that ends with the parent"


Work = Callable[[Callable[[], None], Seat], None]
"""What a worker does, after the fork: (ready, seat) -> None; it calls ready() once and returns when drained."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_LONG_LIFE = 10.0  # seconds; who lived that long is started again at once
_BACKOFF, _LONGEST_BACKOFF = 0.1, 30.0  # seconds


@dataclass(slots=True)
class _Worker:
    number: int
    started: float
    ready: int  # the reading end of a pipe on which the worker says that it serves


class Supervisor:
    """Runs `count` workers on `sockets`, which it closes when it stops.

    `ready` is called once, when all workers serve. `grace`: seconds from SIGTERM until a worker still there is
    killed.
    """

    def __init__(
        self, count: int, work: Work, sockets: Sequence[socket.socket], ready: Callable[[], None], grace: float
    ) -> None:
        self._work = work
        self._sockets = sockets
        self._ready = ready
        self._grace = grace
        self._workers: dict[int, _Worker] = {}  # by process id
        self._due = dict.fromkeys(range(count), 0.0)  # when each missing worker is to be started
        self._quick_deaths = dict.fromkeys(range(count), 0)
        self._unready = set(range(count))  # who has never served
        self._shares = Shares(count)
        self._kill_at = float("inf")
        self._status = 0
        self._selector = selectors.PollSelector()
        self._lifeline, self._life = os.pipe()
        self._wake, self._wakeup = socket.socketpair()

    @property
    def stopping(self) -> bool:
        return self._kill_at < float("inf")

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT has ended all workers, or one cannot start at all. -> exit status"""
        self._wake.setblocking(False)
        self._wakeup.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)  # the wake-up socket carries the number
        try:
            while self._workers or not self.stopping:
                self._start_due()
                for key, _ in self._selector.select(self._pause()):
                    if key.fileobj is self._wake:
                        self._signalled(self._wake.recv(64))
                    else:
                        self._served(int(key.fd))
                self._reap()
                if time.monotonic() >= self._kill_at:
                    self._send(signal.SIGKILL)
            return self._status
        finally:
            signal.set_wakeup_fd(-1)
            self._close()

    def _pause(self) -> float | None:
        instants = [self._kill_at, *self._due.values()]
        first = min(instants)
        return None if first == float("inf") else max(first - time.monotonic(), 0.01)

    def _start_due(self) -> None:
        for number, instant in list(self._due.items()):
            if instant <= time.monotonic():
                del self._due[number]
                self._fork(number)

    def _fork(self, number: int) -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal must not meet the child while it still has the parent's handlers.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._child(number, writing, mask)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(writing)
        self._workers[pid] = _Worker(number, time.monotonic(), reading)
        self._selector.register(reading, selectors.EVENT_READ)

    def _child(self, number: int, writing: int, mask: Iterable[int]) -> None:
        """The worker's whole life; does not return."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for one in _SIGNALS:
                signal.signal(one, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for worker in self._workers.values():
                os.close(worker.ready)
            os.close(self._life)
            self._wake.close()
            self._wakeup.close()

            def ready() -> None:
                os.write(writing, b"\1")
                os.close(writing)

            self._work(ready, Seat(number, self._shares, self._lifeline))
            status = 0
        except ConfigError as error:
            logger.critical("%s", error)
        except BaseException:
            logger.exception("a worker ends")
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)  # nothing of the parent may be closed or flushed a second time

    def _served(self, reading: int) -> None:
        """A worker says that it serves, or its end of the pipe is gone."""
        self._selector.unregister(reading)
        if os.read(reading, 1) and self._unready:
            self._unready -= {worker.number for worker in self._workers.values() if worker.ready == reading}
            if not self._unready:
                self._ready()

    def _signalled(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGHUP:
                self._send(signal.SIGHUP)
            elif number in (signal.SIGTERM, signal.SIGINT):
                self._stop()

    def _stop(self) -> None:
        self._due.clear()
        for one in self._sockets:
            one.close()
        self._kill_at = min(self._kill_at, time.monotonic() + self._grace)
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        for pid in self._workers:
            os.kill(pid, number)  # a child that is not reaped yet still has its number

    def _reap(self) -> None:
        for pid in list(self._workers):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._ended(pid, os.waitstatus_to_exitcode(status))

    def _ended(self, pid: int, code: int) -> None:
        worker = self._workers.pop(pid)
        self._shares[worker.number] = 0  # its connections are gone with it
        if worker.ready in self._selector.get_map():
            self._selector.unregister(worker.ready)
        os.close(worker.ready)
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        if self.stopping:
            if code not in (0, -signal.SIGTERM):  # SIGTERM itself ends a worker that does not serve yet
                logger.error("worker %d %s while stopping", pid, how)
                self._status = 1
            return
        if worker.number in self._unready and code > 0:
            logger.critical("worker %d %s before it could serve; stopping", pid, how)
            self._status = 1
            self._stop()
            return
        now = time.monotonic()
        quick = now - worker.started < _LONG_LIFE
        deaths = self._quick_deaths[worker.number] = self._quick_deaths[worker.number] + 1 if quick else 0
        pause = min(_BACKOFF * 2 ** min(deaths, 10), _LONGEST_BACKOFF)
        logger.error("worker %d %s; another one is started in %.1f s", pid, how, pause)
        self._due[worker.number] = now + pause

    def _close(self) -> None:
        self._selector.close()
        os.close(self._lifeline)
        os.close(self._life)
        self._wake.close()
        self._wakeup.close()
