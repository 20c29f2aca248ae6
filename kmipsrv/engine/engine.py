"""The engine: a group of frames in, their answers out, one transaction and one commit for the group.

Nothing is answered before the commit: if it fails, the exception reaches the caller, who closes the connections. What a
single request does wrong stays inside that request.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

from kmipsrv.domain.identity import Identity
from kmipsrv.domain.ports import Gate, Keyring, Store, Work
from kmipsrv.domain.settings import Settings
from kmipsrv.engine import attestation
from kmipsrv.engine.call import Call
from kmipsrv.engine.dispatcher import CREDENTIALS, Dispatcher, failure
from kmipsrv.engine.ports import Authenticator
from kmipsrv.errors import KmipError, StoreConflict, TTLVError
from kmipsrv.operations._effort import Effort
from kmipsrv.operations._registry import OPERATIONS, load_all
from kmipsrv.spec.messages import request_parts, supported, version_of
from kmipsrv.spec.schema import bind
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_0
from kmipsrv.ttlv.codec import decode

logger = logging.getLogger(__name__)

_ATTEMPTS = 4  # at a group that other processes overtake; from the second on they wait for it
_CREDENTIAL = b"\x42\x00\x23\x01"  # the head of a Credential structure
_OPERATION = b"\x42\x00\x5c\x05\x00\x00\x00\x04\x00\x00\x00"  # the head of an Operation, but for its last byte
_CORRELATION = b"\x42\x00\xd6\x08"  # the head of a Correlation Value


class Engine:
    """Everything between a frame and its answer. `clock` gives seconds since the epoch, `random` that many octets.

    `identify`: who a client certificate (DER) would be, for Re-Provision; raises KmipError."""

    def __init__(
        self,
        *,
        store: Store,
        keyring: Keyring,
        gate: Gate,
        settings: Settings,
        authenticator: Authenticator,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        identify: Callable[[bytes], Identity] | None = None,
    ) -> None:
        load_all()
        self.store = store
        self.settings = settings
        self.clock = clock
        self.random = random
        self.dispatcher = Dispatcher(
            keyring=keyring,
            gate=gate,
            settings=settings,
            authenticator=authenticator,
            random=random,
            identify=identify,
        )
        slow = b"".join(re.escape(bytes([row.operation])) for row in OPERATIONS.values() if row.prepare)
        # The Operation items that ask for slow work, found in the bytes: nothing is decoded twice on the hot path.
        self._slow = re.compile(re.escape(_OPERATION) + b"[" + slow + b"]") if slow else None

    def take(self, settings: Settings) -> None:
        """Go on with other settings."""
        self.settings = self.dispatcher.settings = settings

    def answer(self, calls: Sequence[Call]) -> list[bytes | None]:
        """One answer per call. Raises what the store raises when the group cannot be committed.

        Where another process wrote first, nothing of the group has been kept and nothing has been said: it begins again,
        and then nobody else writes until it is done. A group that goes on with streams begins so: their parts could not be
        taken back, whoever's call in the group is overtaken."""
        alone = any(_CORRELATION in call.frame for call in calls)
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._attempt(calls, alone)
            except StoreConflict:
                logger.info("another process wrote first: %d requests begin again", len(calls))
                self.dispatcher.streams.undo()
            alone = True
        return self._attempt(calls, alone)

    def _attempt(self, calls: Sequence[Call], alone: bool) -> list[bytes | None]:
        now = int(self.clock())
        self.dispatcher.streams.begin()
        with self.store.work() as work:
            if alone:
                work.lock()
            self.dispatcher.catch_up(work, now)
            return [self._answer(work, call, now) for call in calls]

    def _answer(self, work: Work, call: Call, now: int) -> bytes | None:
        try:
            message = decode(call.frame, max_depth=self.settings.nesting)
        except TTLVError as error:
            # "Message cannot be parsed: response message containing a header and a Batch Item without Operation".
            return failure(error, V1_0, now)
        return self.dispatcher.respond(work, call, message, now)

    def prepare(self, call: Call) -> Callable[[], Any] | None:
        """The slow part of a call as a function to be run beside the queue, None when there is none.

        Its result maps the number of a batch item (CREDENTIALS and APPRAISED for the header) to what the operation's
        `prepare` made, or to the KmipError it raised.
        """
        if not (self._slow is not None and self._slow.search(call.frame)) and _CREDENTIAL not in call.frame:
            return None
        return lambda: self._prepare(call)

    def _prepare(self, call: Call) -> dict[int, Any]:
        made: dict[int, Any] = {}
        try:
            message = decode(call.frame, max_depth=self.settings.nesting)
            version = supported(*version_of(message))
            if version is None:
                return made
            header, items = request_parts(message, version)
        except KmipError:
            return made  # the answer will say what is wrong
        credentials, attested = attestation.split(header.credentials)
        if credentials:
            made[CREDENTIALS] = self.dispatcher.authenticator.prepare(credentials)
        if attested and header.attestation_capable_indicator:
            try:
                now = int(self.clock())
                asked = attestation.attestation_of(call, header, items, attested, call.peer.identity, version, now)
                made[attestation.APPRAISED] = self.dispatcher.gate.appraise(asked)
            except KmipError:
                pass  # the answer will say what is malformed
        effort = Effort(self.settings)
        for number, (_, _, fields) in enumerate(items[: self.settings.batch_items]):
            found = {tag: value for tag, _, value in fields}
            row = OPERATIONS.get(found.get(Tag.OPERATION))  # type: ignore[arg-type]
            if row is None or row.prepare is None or not isinstance(found.get(Tag.REQUEST_PAYLOAD), list):
                continue
            try:
                request = bind(row.request, found[Tag.REQUEST_PAYLOAD], version)
                made[number] = row.prepare(self.settings, effort, request)
            except KmipError as error:
                made[number] = error
        return made
