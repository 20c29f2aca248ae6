"""Carries calls to the one engine thread of the process and the answers back to the event loop.

The engine takes all that waits, up to a bound, answers it together (one commit for the group) and the answers
return by one wake-up of the loop; only then does the next group leave. Calls leave in the order in which they entered,
so a connection that enters its calls in order gets its answers in order. What the engine calls slow runs in a few
threads beside the queue *before* it enters, so that nobody waits behind it; its connection must not enter another call
until then (`Sink.release` says when). One client has one of these threads at a time: who asks for many key pairs at once
waits for them itself. The doors' own work (`aside`) has other threads.

Whatever `answer` raises, the thread lives on: the connections of the group are closed, since nobody knows what
became of their requests.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol

from kmipsrv.engine.call import Call
from kmipsrv.errors import StoreConflict
from kmipsrv.server.limits import Limits

logger = logging.getLogger(__name__)

Answer = Callable[[Sequence[Call]], Sequence[bytes | None]]
"""The engine: one answer per call, in order; None closes the connection. Runs in the engine thread only."""

Prepare = Callable[[Call], Callable[[], Any] | None]
"""Looks at a call, quickly, in the loop's thread: None, or the slow work whose result becomes `Call.prepared`."""

_OVERHEAD = 512  # bytes that a queued call costs besides its frame
_SLOW = 2  # threads for slow work
_ASIDE = 2  # threads for what the doors do with bodies
_PATIENCE = 0.005  # seconds between two looks whether the last group is answered


class Sink(Protocol):
    """Where answers go: a connection. All methods run in the loop's thread."""

    def answered(self, answer: bytes | None) -> None:
        """The next answer, in order."""

    def resume(self) -> None:
        """The queue has room again."""

    def release(self) -> None:
        """The slow call has entered the queue."""


class EngineThread:
    """One thread and its queue. Methods belong to the thread of the event loop."""

    def __init__(self, answer: Answer, prepare: Prepare | None, limits: Limits) -> None:
        self._answer = answer
        self._prepare = prepare
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Call, Sink]] = deque()
        self._groups: queue.SimpleQueue[list[tuple[Call, Sink]] | None] = queue.SimpleQueue()
        self._busy = False  # a group is with the engine, or about to be
        self._queued = 0  # bytes
        self._starved: deque[Sink] = deque()
        self._slow = ThreadPoolExecutor(_SLOW, thread_name_prefix="kmipsrv-slow")
        self._turns: dict[str, deque[Callable[[], None]]] = {}  # owner with slow work at hand -> what waits behind it
        self._aside = ThreadPoolExecutor(_ASIDE, thread_name_prefix="kmipsrv-aside")
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="kmipsrv-engine", daemon=True)
        self._thread.start()

    def room(self, sink: Sink) -> bool:
        """Whether the queue takes another call; if not, `sink.resume()` will be called when it does."""
        if self._queued < self._limits.queue:
            return True
        self._starved.append(sink)
        return False

    def enter(self, call: Call, sink: Sink) -> bool:
        """Queue a call. False: it is slow and enters later; then `sink` has to wait for `release`."""
        self._queued += len(call.frame) + _OVERHEAD
        work = None
        if self._prepare is not None:
            try:
                work = self._prepare(call)
            except Exception:
                logger.exception("[%s] a request could not be judged slow or quick", secrets.token_hex(8))
        if work is None:
            self._wait(call, sink)
            return True
        self._in_turn(call.peer.identity.owner, work, lambda result: self._prepared(call, sink, result))
        return False

    def aside(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Run `work` beside the queue, then `then(result)` in the loop; an exception of `work` is the result."""
        self._beside(self._aside, work, then)

    def _in_turn(self, owner: str, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """The same for slow work, once this client's earlier slow work is done."""

        def begin() -> None:
            self._beside(self._slow, work, done)

        def done(result: Any) -> None:
            waiting = self._turns[owner]
            if waiting:
                waiting.popleft()()
            else:
                del self._turns[owner]
            then(result)

        if owner in self._turns:
            self._turns[owner].append(begin)
        else:
            self._turns[owner] = deque()
            begin()

    def _beside(self, threads: ThreadPoolExecutor, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        def done(future: asyncio.Future[Any]) -> None:
            if not future.cancelled():
                then(future.exception() or future.result())

        self._loop.run_in_executor(threads, work).add_done_callback(done)

    async def stop(self, seconds: float) -> None:
        """Let the thread answer what is queued and end. Gives up after `seconds`."""
        deadline = self._loop.time() + seconds
        while self._busy and self._loop.time() < deadline:
            await asyncio.sleep(_PATIENCE)
        self._groups.put(None)
        try:
            await asyncio.wait_for(self._stopped.wait(), max(deadline - self._loop.time(), _PATIENCE))
        except TimeoutError:
            logger.error("the engine did not finish within %.1f s and is left behind", seconds)
        for waiting in self._turns.values():
            waiting.clear()  # nothing begins any more
        for threads in (self._slow, self._aside):
            threads.shutdown(wait=False, cancel_futures=True)

    def _prepared(self, call: Call, sink: Sink, result: Any) -> None:
        if isinstance(result, BaseException):
            # It enters as if it had been quick: what is wrong shows again, in its turn and where it is answered.
            logger.error("[%s] a request failed while it was prepared", secrets.token_hex(8), exc_info=result)
        else:
            call = replace(call, prepared=result)
        self._wait(call, sink)
        sink.release()

    def _wait(self, call: Call, sink: Sink) -> None:
        self._waiting.append((call, sink))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._hand_over)  # once this turn of the loop has read what there is to read

    def _hand_over(self) -> None:
        """The engine's next group. There is one at a time: two threads at work would only take the GIL from one another."""
        waiting = self._waiting
        self._groups.put([waiting.popleft() for _ in range(min(len(waiting), self._limits.group))])

    # -- in the engine thread
    # -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (group := self._groups.get()) is not None:
            self._post(self._deliver, group, self._answers([call for call, _ in group]))
        self._post(self._stopped.set)

    def _answers(self, calls: list[Call]) -> Sequence[bytes | None]:
        try:
            answers = self._answer(calls)
            if len(answers) == len(calls):
                return answers
            problem: BaseException = RuntimeError(f"{len(answers)} answers to {len(calls)} calls")
        except BaseException as error:
            problem = error
        correlation, number = secrets.token_hex(8), len(calls)
        if isinstance(problem, StoreConflict):
            logger.warning("[%s] other processes kept the store; %d connections are closed", correlation, number)
        else:
            logger.critical("[%s] the engine failed; %d connections are closed", correlation, number, exc_info=problem)
        return [None] * len(calls)

    def _post(self, callback: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            logger.warning("the event loop has ended before the engine")  # the drain took too long

    # -- in the loop's thread
    # -----------------------------------------------------------------------------------------

    def _deliver(self, group: Sequence[tuple[Call, Sink]], answers: Sequence[bytes | None]) -> None:
        for (call, sink), answer in zip(group, answers, strict=True):
            self._queued -= len(call.frame) + _OVERHEAD
            try:
                sink.answered(answer)
            except Exception:
                logger.exception("[%s] an answer could not be delivered", secrets.token_hex(8))
        for _ in range(len(self._starved)):
            if self._queued >= self._limits.queue:
                break
            self._starved.popleft().resume()
        self._busy = bool(self._waiting)
        if self._busy:
            self._loop.call_soon(self._hand_over)
