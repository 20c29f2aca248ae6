"""One request message: header rules, then its batch items in order (KMIP 2.1 §8, §9; 1.4 §6).

Every item has its savepoint: what a failed item wrote is undone. With Undo, and whenever the whole answer can still be
refused (Maximum Response Size), the request has one too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import Any

from kmipsrv.crypto.rng import Seeded
from kmipsrv.domain import link_credentials
from kmipsrv.domain.identity import Identity
from kmipsrv.domain.link_credentials import Desk
from kmipsrv.domain.ports import Gate, Keyring, Work
from kmipsrv.domain.settings import Settings
from kmipsrv.domain.streams import Streams
from kmipsrv.engine import attestation
from kmipsrv.engine.call import Call
from kmipsrv.engine.ephemeral import ephemeral, withheld
from kmipsrv.engine.ports import Authenticator
from kmipsrv.errors import Cause, KmipError, StoreUnavailable
from kmipsrv.operations import _asynchronous
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import OPERATIONS, OperationRow, WholeAnswer
from kmipsrv.spec.attested_release import requested_recipient
from kmipsrv.spec.enums import AsynchronousIndicator, BatchErrorContinuationOption, Operation, ResultStatus
from kmipsrv.spec.messages import (
    RequestBatchItem,
    RequestHeader,
    ResponseBatchItem,
    request_parts,
    response_header,
    response_message,
    supported,
    version_of,
)
from kmipsrv.spec.reasons import result_reason
from kmipsrv.spec.schema import bind, unbind
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import NEWEST, V1_0, V3_0, Version
from kmipsrv.ttlv.codec import BYTE_STRING, ENUMERATION, STRUCTURE, Item, encode

logger = logging.getLogger(__name__)

TIDYING = 60  # seconds between two removals of records whose time has passed (tickets, failed logins, jobs, …)
CREDENTIALS = -1  # the place of the header's Credentials among what was prepared beside the queue

# What an undone item's answer may still say: which objects it had made or touched, never what they hold.
_IDENTIFIERS = frozenset((Tag.UNIQUE_IDENTIFIER, Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER, Tag.PUBLIC_KEY_UNIQUE_IDENTIFIER))


class _Refused(Exception):
    """Leaves the request's savepoint so that everything is undone; carries the items to answer."""

    def __init__(self, items: list[ResponseBatchItem]) -> None:
        self.items = items


class Dispatcher:
    """Turns request messages into response messages."""

    def __init__(
        self,
        *,
        keyring: Keyring,
        gate: Gate,
        settings: Settings,
        authenticator: Authenticator,
        random: Callable[[int], bytes],
        identify: Callable[[bytes], Identity] | None = None,
    ) -> None:
        self.identify = identify
        self._withdrawn: frozenset[str] = frozenset()
        self.keyring = keyring
        self.gate = gate
        self.settings = settings
        self.authenticator = authenticator
        self.random = random
        self.streams = Streams(settings.maximum_streams, settings.maximum_stream_bytes, random)
        self.generator = Seeded(random)
        self._next_tidying = 0  # when records whose time has passed are removed again
        self._next_look = 0  # when postponed requests are looked for again

    def respond(self, work: Work, call: Call, message: Item, now: int) -> bytes:
        """The encoded Response Message; whatever the request says, there is one."""
        version = V1_0
        try:
            major, minor = version_of(message)
            known = supported(major, minor)
            if known is None:
                raise KmipError(Cause.UNSUPPORTED_PROTOCOL_VERSION, f"KMIP {major}.{minor} is not supported")
            version = known
            header, items = request_parts(message, version)
            self._check_header(header, len(items), version, now)
            context = self._context(work, call, header, items, version, now)
            return self._process(context, call, header, items)
        except StoreUnavailable:
            raise
        except KmipError as error:
            return failure(error, version, now)
        except Exception:
            return failure(self._internal_error(), version, now)

    # ------------------------------------------------------------------------------------------------------ header

    def _check_header(self, header: RequestHeader, items: int, version: Version, now: int) -> None:
        """Raises KmipError for what the message as a whole asks and cannot have."""
        settings = self.settings
        if header.batch_count is None:
            if version < V3_0:
                raise KmipError(Cause.MISSING_DATA, "Batch Count is missing in the Request Header")
        elif header.batch_count != items:
            raise KmipError(
                Cause.INVALID_MESSAGE, f"Batch Count is {header.batch_count}, but there are {items} Batch Items"
            )
        if items > settings.batch_items:
            raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"more than {settings.batch_items} Batch Items")
        if not items:
            raise KmipError(Cause.INVALID_MESSAGE, "the message has no Batch Item")
        if header.maximum_response_size is not None and header.maximum_response_size < 0:
            raise KmipError(Cause.INVALID_FIELD, "a negative Maximum Response Size")
        skew = settings.time_stamp_skew
        if skew is not None and header.time_stamp is not None and abs(header.time_stamp - now) > skew:
            # "the server MAY reject the request" if the time stamp is not recent (2.1 §9.20).
            raise KmipError(Cause.INVALID_FIELD, "the Time Stamp is too far from the server's clock")

    def _context(
        self, work: Work, call: Call, header: RequestHeader, items: list[Item], version: Version, now: int
    ) -> Context:
        identity, refusal = call.peer.identity, None
        if call.peer.fingerprint in self._withdrawn:
            refusal = KmipError(Cause.AUTHENTICATION_NOT_SUCCESSFUL, "the client's certificate has been replaced")
        credentials, attested = attestation.split(header.credentials)
        if credentials and refusal is None:
            prepared = (call.prepared or {}).get(CREDENTIALS)
            try:
                identity = self.authenticator.authenticate(work, identity, credentials, now, prepared)
            except StoreUnavailable:
                raise
            except KmipError as error:
                if error.cause is Cause.LOGIN_USED_UP:
                    raise  # the message's answer
                refusal = error  # every batch item's answer, as TC-LOGIN-2 and TC-DLOGIN-1 expect
        return self.context(
            work,
            identity,
            version,
            now,
            attestation=attestation.attestation_of(call, header, items, attested, identity, version, now),
            refusal=refusal,
            certificates=None if self.identify is None else Desk(call.peer.fingerprint, self.identify),
        )

    # ------------------------------------------------------------------------------------------------- asynchronously

    def _postponed(
        self, ctx: Context, header: RequestHeader, items: list[Item], prepared: Mapping[int, Any]
    ) -> list[ResponseBatchItem] | None:
        """The answers Operation Pending to a message that is to be processed later; None: it is processed now.

        Mandatory is obeyed (2.0); where the client only allows it, a single item of certain operations is postponed: items
        that follow one another may need one another's results."""
        mandatory = header.asynchronous_indicator is AsynchronousIndicator.MANDATORY
        allowed = header.asynchronous or header.asynchronous_indicator is AsynchronousIndicator.OPTIONAL
        if ctx.refusal is not None or not (mandatory or (allowed and len(items) == 1)):
            return None
        submitted: list[tuple[Operation, list[Item]]] = []
        answers: list[ResponseBatchItem] = []
        for _, _, fields in items:
            answer, refused = self._answer_head(fields), None
            try:
                row, request, _ = self._bound(ctx, fields)
                if not mandatory and row.operation not in _asynchronous.DEFERRED:
                    return None
                if row.operation in _asynchronous.IMMEDIATE:
                    raise KmipError(Cause.INVALID_FIELD, f"{row.operation.text} is never asynchronous")
                ctx.require_right(request)
                submitted.append((row.operation, fields))
            except KmipError as error:
                refused = error
            if refused is not None:
                return [_failed(refused, answer, ctx.version)]  # nothing of the message is kept
            answers.append(answer)
        option = header.batch_error_continuation_option or BatchErrorContinuationOption.STOP
        try:
            job = _asynchronous.submit(ctx, option, submitted)
            if any(prepared.get(number) is not None for number in range(len(items))):
                _asynchronous.run(ctx, job, self._with(prepared))
        except StoreUnavailable:
            raise
        except KmipError as error:
            return [_failed(error, each, ctx.version) for each in answers]
        for number, answer in enumerate(answers):
            answer.result_status = ResultStatus.OPERATION_PENDING
            answer.asynchronous_correlation_value = job.value(number)
        return answers

    def _with(self, prepared: Mapping[int, Any]) -> _asynchronous.Run:
        """Processes a request whose slow part has been done beside the queue: it would only be done again if it waited."""
        numbers = count()

        def process(ctx: Context, fields: list[Item]) -> tuple[ResultStatus, list[Item]]:
            ctx.prepared = prepared.get(next(numbers))
            return self._deferred(ctx, fields)

        return process

    def _deferred(self, ctx: Context, fields: list[Item]) -> tuple[ResultStatus, list[Item]]:
        """A postponed batch item whose turn has come."""
        answer = self._item(ctx, fields)
        return answer.result_status, unbind(answer, ctx.version)

    def catch_up(self, work: Work, now: int) -> None:
        """Process postponed requests for which nobody has polled, and learn of certificates that have been replaced.

        Looks now and then only: another process may accept a replaced certificate for `_asynchronous.PAUSE` more."""
        if now < self._next_look:
            return
        self._next_look = now + _asynchronous.PAUSE
        self._withdrawn = link_credentials.withdrawn(work)
        if now >= self._next_tidying:
            self._next_tidying = now + TIDYING
            work.expire(now)
        ctx = self.context(work, Identity(domain="", name="", owner=""), NEWEST, now)
        if _asynchronous.run_waiting(ctx, self._deferred):
            self._next_look = now  # the next group's transaction

    def context(self, work: Work, identity: Identity, version: Version, now: int, **of_message: Any) -> Context:
        """A context of this dispatcher. What is done without a request message (postponed requests, messages to endpoints)
        has nothing `of_message`: neither evidence nor a certificate."""
        return Context(
            identity=identity,
            version=version,
            now=now,
            work=work,
            keyring=self.keyring,
            gate=self.gate,
            settings=self.settings,
            random=self.random,
            streams=self.streams,
            generator=self.generator,
            process=self._deferred,
            **of_message,
        )

    # ------------------------------------------------------------------------------------------------------- batch

    def _process(self, ctx: Context, call: Call, header: RequestHeader, items: list[Item]) -> bytes:
        option = header.batch_error_continuation_option or BatchErrorContinuationOption.STOP
        undo = option is BatchErrorContinuationOption.UNDO
        limit = header.maximum_response_size
        guard: AbstractContextManager[None] = nullcontext() if limit is None and not undo else ctx.work.savepoint()
        prepared = call.prepared or {}
        answers: list[ResponseBatchItem] = []
        try:
            with guard:
                postponed = self._postponed(ctx, header, items, prepared)
                if postponed is not None:
                    return self._encode(ctx, postponed)
                for number, (_, _, fields) in enumerate(items):
                    ctx.prepared = prepared.get(number)
                    answer = self._item(ctx, fields)
                    answers.append(answer)
                    if answer.result_status is ResultStatus.OPERATION_FAILED:
                        if undo:
                            raise _Refused([*map(_undone, answers[:-1]), answer])
                        if option is BatchErrorContinuationOption.STOP:
                            break
                encoded = self._encode(ctx, answers)
                if limit is not None and len(encoded) > limit:
                    too_large = f"Response size: {len(encoded)}, Maximum Response Size indicated in request: {limit}"
                    error = KmipError(Cause.RESPONSE_TOO_LARGE, too_large)
                    raise _Refused([_failed(error, each, ctx.version) for each in answers])
                return encoded
        except _Refused as refused:
            ctx.end_streams()
            return self._encode(ctx, refused.items)

    def _item(self, ctx: Context, fields: list[Item]) -> ResponseBatchItem:
        """One batch item's answer; a failure leaves nothing behind it but the answer."""
        answer = self._answer_head(fields)
        try:
            row, request, hidden = self._bound(ctx, fields)
            ctx.require_right(request)
            ctx.begin(request)
            if isinstance(ctx.prepared, KmipError):
                raise ctx.prepared
            with ctx.work.savepoint():
                response = row.handler(ctx, request)
                ctx.finish()
                if isinstance(response, WholeAnswer):
                    whole = bind(ResponseBatchItem, response.fields, ctx.version)
                    whole.unique_batch_item_id = answer.unique_batch_item_id
                    return whole
                if row.operation is Operation.RE_PROVISION:
                    self._next_look = 0  # the old certificate is refused from the next group on
                content = [] if response is None else withheld(unbind(response, ctx.version), hidden)
                answer.response_payload = STRUCTURE, content
        except StoreUnavailable:
            raise  # the transaction is undone and with it the whole group: its connections are closed
        except KmipError as error:
            if error.__cause__ is not None:
                trace = error.__cause__ if logger.isEnabledFor(logging.DEBUG) else None  # a refusal is no mishap
                logger.info("%s failed: %s", ctx.operation and ctx.operation.text, error, exc_info=trace)
            return _failed(error, answer, ctx.version)
        except Exception:
            return _failed(self._internal_error(), answer, ctx.version)
        return answer

    @staticmethod
    def _answer_head(fields: list[Item]) -> ResponseBatchItem:
        """What is echoed, which is echoed even when the rest cannot be read."""
        answer = ResponseBatchItem(result_status=ResultStatus.SUCCESS)
        for tag, kind, value in fields:
            if tag == Tag.UNIQUE_BATCH_ITEM_ID and kind == BYTE_STRING:
                answer.unique_batch_item_id = value
            elif tag == Tag.OPERATION and kind == ENUMERATION:
                answer.operation = value
        return answer

    @staticmethod
    def _bound(ctx: Context, fields: list[Item]) -> tuple[OperationRow, Any, Any]:
        """A batch item -> its operation's row, its payload, its Ephemeral. Raises KmipError."""
        ctx.operation = None
        item = bind(RequestBatchItem, fields, ctx.version)
        row = OPERATIONS.get(item.operation)  # type: ignore[call-overload]
        if row is None or not row.exists_in(ctx.version) or (row.advertised and not row.advertised(ctx.settings)):
            raise KmipError(Cause.OPERATION_NOT_SUPPORTED, "the operation is not supported")
        ctx.operation = row.operation
        if ctx.refusal is not None:
            raise ctx.refusal
        if item.message_extension and requested_recipient(item.message_extension) and not ctx.recipient:
            raise KmipError(Cause.PERMISSION_DENIED, "a release goes to clients that are Attestation Capable")
        kind, payload = item.request_payload
        if kind != STRUCTURE:
            raise KmipError(Cause.INVALID_MESSAGE, "Request Payload is not a structure")
        return row, bind(row.request, payload, ctx.version), ephemeral(item.ephemeral, ctx.version)

    def _internal_error(self) -> KmipError:
        """Log the exception being handled under a correlation id; the client gets the id and nothing of the text."""
        correlation = self.random(6).hex()
        logger.exception("internal error %s", correlation)
        return KmipError(Cause.GENERAL_FAILURE, f"internal error {correlation}")

    def _encode(self, ctx: Context, answers: list[ResponseBatchItem]) -> bytes:
        more: dict[str, Any] = {"server_hashed_password": ctx.identity.proof} if ctx.identity.proof else {}
        challenge = ctx.appraisal.challenge()
        if challenge is not None:
            more |= attestation.header_fields(challenge)
        header = response_header(ctx.version, ctx.now, len(answers), **more)
        return encode(response_message(header, answers, ctx.version))


def _failed(error: KmipError, answer: ResponseBatchItem, version: Version) -> ResponseBatchItem:
    operation = Operation._value2member_map_.get(answer.operation)
    assert operation is None or isinstance(operation, Operation)
    return ResponseBatchItem(
        operation=answer.operation,
        unique_batch_item_id=answer.unique_batch_item_id,
        result_status=ResultStatus.OPERATION_FAILED,
        result_reason=result_reason(error.cause, operation, version),
        result_message=error.message,
    )


def _undone(answer: ResponseBatchItem) -> ResponseBatchItem:
    payload: list[Any] = answer.response_payload[1] if answer.response_payload else []
    return ResponseBatchItem(
        operation=answer.operation,
        unique_batch_item_id=answer.unique_batch_item_id,
        result_status=ResultStatus.OPERATION_UNDONE,
        response_payload=(STRUCTURE, [item for item in payload if item[0] in _IDENTIFIERS]),
    )


def failure(error: KmipError, version: Version, now: int) -> bytes:
    """The answer to a message that cannot be processed: a header and one Batch Item without Operation (1.4 §11.1)."""
    item = _failed(error, ResponseBatchItem(result_status=ResultStatus.OPERATION_FAILED), version)
    return encode(response_message(response_header(version, now, 1), [item], version))
