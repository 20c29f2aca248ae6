"""Asynchronous requests (KMIP 2.1 §§6.1.5, 6.1.38, 6.1.39, 7.2, 9.1): kept as sealed records, so that they survive a restart.

A request message that is answered with Operation Pending becomes one job. It runs as soon as somebody polls for it or
orders it to be processed, else when the server has time, and its batch items run in their order with one ID Placeholder.
Whoever removes the job's mark from the list of waiting ones runs it: of several processes only one succeeds.
A Correlation Value is the job's identifier and the number of the batch item.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from kmipsrv.domain import ticket as tickets
from kmipsrv.domain.binding import Binding
from kmipsrv.domain.identity import Identity
from kmipsrv.errors import Cause, KmipError, StoreUnavailable
from kmipsrv.operations._context import Context
from kmipsrv.spec.enums import BatchErrorContinuationOption, Operation, ProcessingStage, ResultStatus
from kmipsrv.spec.structures import Right, Rights
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Version
from kmipsrv.ttlv.codec import BYTE_STRING, ENUMERATION, STRUCTURE, Item, decode, encode

logger = logging.getLogger(__name__)

JOB: Final = "asynchronous request"  # kinds of records
WAITING: Final = "asynchronous waiting"
IDENTIFIER: Final = 16  # bytes of a job's identifier
NUMBER: Final = 2  # bytes of a batch item's number
KEPT: Final = 86400  # seconds that a job and its results are kept
DELAY: Final = 5  # seconds that a client has to cancel before a job runs unasked
PAUSE: Final = 2  # seconds between two looks at the list of waiting jobs
TRIED: Final = 8  # jobs tried at one look until one can be run

# "The server decides which operations are performed synchronously or asynchronously" (1.4 §6.8): those that wait for an
# archive, or that may search long.
DEFERRED: Final = frozenset((Operation.ARCHIVE, Operation.RECOVER, Operation.LOCATE))
# "The response to this operation SHALL NOT be asynchronous", or it would be without sense.
IMMEDIATE: Final = frozenset(
    (Operation.POLL, Operation.CANCEL, Operation.PROCESS, Operation.QUERY_ASYNCHRONOUS_REQUESTS)
)

Run = Callable[[Context, list[Item]], tuple[ResultStatus, list[Item]]]
"""The dispatcher: a batch item's fields -> its status, and the fields of its answer."""


@dataclass(slots=True)
class Entry:
    """One batch item of a job. `fields`: TTLV of the item, then of its answer, "" when that has been obtained."""

    operation: int
    fields: str
    status: int | None = None  # Result Status, None as long as it waits
    canceled: bool = False


@dataclass(slots=True)
class Job:
    identifier: str  # hexadecimal
    version: int
    submitted: int  # seconds since the epoch
    identity: dict[str, Any]
    option: int
    entries: list[Entry]

    @property
    def stage(self) -> ProcessingStage:
        waits = any(each.status is None and not each.canceled for each in self.entries)
        return ProcessingStage.SUBMITTED if waits else ProcessingStage.COMPLETED

    def value(self, number: int) -> bytes:
        """The Asynchronous Correlation Value of a batch item."""
        return bytes.fromhex(self.identifier) + number.to_bytes(NUMBER, "big")


# ------------------------------------------------------------------------------------------------------- submission


def submit(ctx: Context, option: BatchErrorContinuationOption, items: list[tuple[Operation, list[Item]]]) -> Job:
    """Keep the batch items of a message for later. Raises KmipError."""
    ctx.work.lock()  # for the number of those that wait
    if len(jobs(ctx)) >= ctx.settings.maximum_asynchronous:
        raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, "too many asynchronous requests wait to be polled")
    if option is BatchErrorContinuationOption.UNDO and len(items) > 1:
        raise KmipError(Cause.FEATURE_NOT_SUPPORTED, "Undo and asynchronous processing do not go together")
    job = Job(
        identifier=ctx.random(IDENTIFIER).hex(),
        version=int(ctx.version),
        submitted=ctx.now,
        identity=_dump_identity(ctx.identity),
        option=int(option),
        entries=[Entry(int(operation), _dump(fields)) for operation, fields in items],
    )
    _save(ctx, job)
    mark = json.dumps({"owner": ctx.identity.owner, "submitted": ctx.now}).encode()
    ctx.work.write(WAITING, job.identifier, mark, expires=ctx.now + KEPT)
    return job


# ------------------------------------------------------------------------------------------------------ while it waits


def find(ctx: Context, value: bytes) -> tuple[Job, int]:
    """The caller's job and the number of the batch item, to be run, canceled or obtained: no other process does so
    before the transaction ends. Raises KmipError(INVALID_ASYNCHRONOUS_CORRELATION_VALUE)."""
    ctx.work.lock()
    job = _load(ctx, value[:-NUMBER].hex()) if len(value) == IDENTIFIER + NUMBER else None
    number = int.from_bytes(value[-NUMBER:], "big")
    if job is None or number >= len(job.entries):
        raise KmipError(Cause.INVALID_ASYNCHRONOUS_CORRELATION_VALUE, "no request has this Correlation Value")
    return job, number


def jobs(ctx: Context) -> list[Job]:
    """The caller's jobs."""
    owner = ctx.identity.owner
    return [_open(ctx, owner, key.rpartition("\n")[2], record) for key, record in ctx.work.records(JOB, owner)]


def run(ctx: Context, job: Job, process: Run) -> Job:
    """Process what still waits. -> the job as it is then."""
    if not ctx.work.remove(WAITING, job.identifier):
        return _load(ctx, job.identifier) or job  # another process has been faster
    job = _load(ctx, job.identifier) or job  # as it is now that nobody else changes it
    inner = ctx.of(_load_identity(job.identity), Version(job.version))
    stop = job.option != BatchErrorContinuationOption.CONTINUE
    failed = False
    for entry in job.entries:
        if entry.status is not None or entry.canceled:
            continue
        if failed and stop:
            entry.canceled = True
            continue
        status, fields = process(inner, _read(entry.fields))
        failed |= status is ResultStatus.OPERATION_FAILED
        entry.status, entry.fields = int(status), _dump(fields)
    _save(ctx, job)
    return job


def run_waiting(ctx: Context, process: Run) -> bool:
    """Process one of the jobs for which nobody has polled yet; `ctx` is anybody's. -> whether more are due: each has a
    transaction of its own, so that clients wait for one at most, and other processes too."""
    due = []
    for identifier, mark in ctx.work.records(WAITING, ""):
        found = json.loads(mark)
        if found["submitted"] + DELAY <= ctx.now:
            due.append((identifier, found["owner"]))
    for number, (identifier, owner) in enumerate(due[:TRIED], 1):
        theirs = ctx.of(replace(ctx.identity, owner=owner), ctx.version)
        try:
            job = _load(theirs, identifier)
            if job is None:
                ctx.work.remove(WAITING, identifier)
            else:
                run(theirs, job, process)
            return number < len(due)
        except StoreUnavailable:
            raise
        except KmipError as error:
            logger.warning("an asynchronous request cannot be processed now: %s", error)
    return False


def obtain(ctx: Context, job: Job, number: int) -> list[Item]:
    """The answer to one batch item, once. Raises KmipError."""
    entry = job.entries[number]
    if entry.canceled:
        raise KmipError(Cause.OPERATION_CANCELED_BY_REQUESTER, "the request was canceled")
    if not entry.fields:
        raise KmipError(Cause.INVALID_ASYNCHRONOUS_CORRELATION_VALUE, "the result has been obtained already")
    if entry.status is None:  # another process is at it
        return [
            (Tag.OPERATION, ENUMERATION, entry.operation),
            (Tag.RESULT_STATUS, ENUMERATION, int(ResultStatus.OPERATION_PENDING)),
            (Tag.ASYNCHRONOUS_CORRELATION_VALUE, BYTE_STRING, job.value(number)),
        ]
    fields = _read(entry.fields)
    entry.fields = ""
    _save(ctx, job)
    return fields


def cancel(ctx: Context, job: Job, number: int) -> Entry:
    """Take a batch item back if it still waits. -> the item as it is then."""
    entry = job.entries[number]
    if entry.status is None and not entry.canceled:
        entry.canceled, entry.fields = True, ""
        _save(ctx, job)
        if job.stage is ProcessingStage.COMPLETED:
            ctx.work.remove(WAITING, job.identifier)
    return entry


# ---------------------------------------------------------------------------------------------------------- the record


def _key(owner: str, identifier: str) -> str:
    return f"{owner}\n{identifier}"


def _binding(owner: str, identifier: str) -> Binding:
    return Binding(unique_identifier=identifier, object_type=0, tenant="", owner=owner)


def _save(ctx: Context, job: Job) -> None:
    """What a request asks and what it is answered may be key material: all of it is sealed."""
    owner = ctx.identity.owner
    record = ctx.keyring.seal(json.dumps(asdict(job)).encode(), _binding(owner, job.identifier))
    ctx.work.write(JOB, _key(owner, job.identifier), record, owner=owner, expires=job.submitted + KEPT)


def _load(ctx: Context, identifier: str) -> Job | None:
    owner = ctx.identity.owner
    record = ctx.work.read(JOB, _key(owner, identifier))
    return None if record is None else _open(ctx, owner, identifier, record)


def _open(ctx: Context, owner: str, identifier: str, record: bytes) -> Job:
    fields = json.loads(ctx.open_record(record, _binding(owner, identifier)))
    return Job(**fields | {"entries": [Entry(**each) for each in fields["entries"]]})


def _dump(fields: list[Item]) -> str:
    return encode((Tag.BATCH_ITEM, STRUCTURE, fields)).hex()


def _read(fields: str) -> list[Item]:
    content: list[Item] = decode(bytes.fromhex(fields))[2]
    return content


def _dump_identity(identity: Identity) -> dict[str, Any]:
    """Who asked, for the time when it is done. A ticket has been counted already."""
    fields = {name: getattr(identity, name) for name in _PLAIN}
    fields["neighbours"] = sorted(identity.neighbours)
    fields["rights"] = None if identity.rights is None else tickets.make_rights(Rights(right=[*identity.rights]))
    return fields


def _load_identity(fields: dict[str, Any]) -> Identity:
    rights: tuple[Right, ...] | None = None
    if fields["rights"] is not None:
        rights = tickets.read_rights(fields["rights"])
    return Identity(
        **{name: fields[name] for name in _PLAIN}, neighbours=frozenset(fields["neighbours"]), rights=rights
    )


_PLAIN: Final = ("domain", "name", "owner", "tenant", "common_name", "user", "via")
