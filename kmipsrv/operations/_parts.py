"""One request of a cryptographic operation: the whole of it, or the first, a middle or the last part of a stream
(KMIP 1.3 §2.1.15-17, 2.1 §7.8 Correlation Value, §7.14 Final Indicator, §7.17 Init Indicator).

Every operation makes a state of the crypto room, feeds it and finishes it; a stream is a state that is kept in between
(domain/streams.py). With every part the object is looked at again: one that has been revoked or destroyed meanwhile ends
its streams.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Protocol, TypeVar

from kmipsrv.crypto.parameters import Parameters
from kmipsrv.domain.grant import Purpose
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.domain.streams import Stream, owner_of
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_use import Use, parameters_of, spend, usable
from kmipsrv.spec.enums import Data
from kmipsrv.spec.structures import CryptographicParameters
from kmipsrv.spec.types import Boolean, ByteString, DataOrReference, Identifier, since
from kmipsrv.spec.versions import V1_3

CorrelationValue = Annotated[ByteString | None, since(V1_3)]
Indicator = Annotated[Boolean | None, since(V1_3)]


class Request(Protocol):
    """What the requests of these operations have in common. `correlation_value` and the indicators are 1.3's."""

    cryptographic_parameters: CryptographicParameters | None
    data: DataOrReference | None
    correlation_value: ByteString | None
    init_indicator: Boolean | None
    final_indicator: Boolean | None


class KeyRequest(Request, Protocol):
    """The same for the operations that have a key."""

    unique_identifier: Identifier | None


class State(Protocol):
    """A cryptographic computation under way; `held` octets of the message wait in it for the end."""

    @property
    def held(self) -> int: ...


S = TypeVar("S", bound=State)


@dataclass(slots=True)
class Part(Generic[S]):
    """A request at work: its data, the computation, and which part of the whole it is."""

    obj: ManagedObject | None
    parameters: Parameters
    data: bytes
    state: S
    first: bool
    last: bool
    stream: Stream | None

    @property
    def unique_identifier(self) -> str:
        assert self.obj is not None
        return self.obj.unique_identifier

    @property
    def whole(self) -> bool:
        """Nothing comes before and nothing after."""
        return self.first and self.last

    def output(self, ctx: Context, kind: Data, made: bytes) -> bytes | None:
        """The Data of the answer: an empty one is left out of a stream's (TC-STREAM-ENC-1)."""
        return ctx.outputs.put(kind, made) if made or self.whole else None

    def correlation(self, ctx: Context) -> bytes | None:
        """The Correlation Value of the answer, the stream being kept; None with the last part."""
        if self.last:
            return None
        if self.stream is None:
            assert ctx.operation is not None
            uid = None if self.obj is None else self.obj.unique_identifier
            self.stream = Stream(owner_of(ctx.identity), ctx.operation, uid, self.parameters, self.state)
        self.stream.held = self.state.held
        return ctx.keep_stream(self.stream)


@dataclass(slots=True)
class Start:
    """What a computation starts from."""

    obj: ManagedObject
    parameters: Parameters
    data: bytes
    alone: bool = field(default=True)  # the whole message is there

    def limit(self, ctx: Context) -> int:
        """The octets that a computation which needs the whole message may collect."""
        return len(self.data) if self.alone else ctx.settings.maximum_stream_bytes


def begin(
    ctx: Context,
    request: KeyRequest,
    use: Use,
    start: Callable[[Start], S],
    *,
    first_only: dict[str, Any] | None = None,
) -> Part[S]:
    """Find the key and the computation that a request means, and count its use. Raises KmipError.

    `start` makes the computation; `first_only` are fields that only a first or single part may have, by name.
    """
    stream, last = _stream(ctx, request)
    if stream is None:
        obj = usable(ctx, request.unique_identifier, use)
        parameters = parameters_of(request.cryptographic_parameters, obj)
    else:
        _check_unchanged(request, stream, first_only or {})
        obj = usable(ctx, stream.unique_identifier, use)
        _authorize(ctx, obj, stream)
        if request.unique_identifier is not None and ctx.resolve(request.unique_identifier) != obj.unique_identifier:
            raise KmipError(Cause.INVALID_CORRELATION_VALUE, "the multi-part operation has another object")
        parameters = stream.parameters
    data = _data(ctx, request, in_parts=stream is not None or bool(request.init_indicator))
    if use.protects:
        spend(ctx, obj, len(data), begins=stream is None)
    state = start(Start(obj, parameters, data, last)) if stream is None else stream.state
    return Part(obj, parameters, data, state, stream is None, last, stream)


def begin_without_key(ctx: Context, request: Request, start: Callable[[Parameters], S]) -> Part[S]:
    """The same for an operation that has no object. Raises KmipError."""
    stream, last = _stream(ctx, request)
    if stream is None:
        parameters = parameters_of(request.cryptographic_parameters)
    else:
        _check_unchanged(request, stream, {})
        parameters = stream.parameters
    data = _data(ctx, request, in_parts=stream is not None or bool(request.init_indicator))
    state = start(parameters) if stream is None else stream.state
    return Part(None, parameters, data, state, stream is None, last, stream)


def _stream(ctx: Context, request: Request) -> tuple[Stream | None, bool]:
    """-> (the stream that the request goes on with, whether the message ends here)."""
    if request.correlation_value is None:
        if request.final_indicator and not request.init_indicator:
            raise KmipError(Cause.INVALID_FIELD, "Final Indicator without Correlation Value or Init Indicator")
        return None, bool(request.final_indicator) or not request.init_indicator
    if request.init_indicator:
        raise KmipError(Cause.INVALID_FIELD, "Init Indicator and Correlation Value exclude each other")
    assert ctx.operation is not None
    stream = ctx.streams.take(request.correlation_value, owner_of(ctx.identity), ctx.operation, ctx.now)
    return stream, bool(request.final_indicator)


def _authorize(ctx: Context, obj: ManagedObject, stream: Stream) -> None:
    """The key is open since the first part, but every part is a use of it. A refusal, which may be the challenge that the
    client then answers, leaves the stream as it was: nothing has been computed."""
    try:
        ctx.authorize(obj, Purpose.USE)
    except KmipError:
        ctx.streams.keep(stream, ctx.now)
        raise


def _check_unchanged(request: Request, stream: Stream, first_only: dict[str, Any]) -> None:
    """What belongs to the beginning is not given again, but for equal Cryptographic Parameters (TC-STREAM-HASH-3)."""
    given = request.cryptographic_parameters
    if given is not None and parameters_of(given) != stream.parameters:
        raise KmipError(Cause.INVALID_FIELD, "the Cryptographic Parameters are not those the operation began with")
    for name, value in first_only.items():
        if value is not None:
            raise KmipError(Cause.INVALID_FIELD, f"{name} belongs to the first part of a multi-part operation")


def check_alone(request: Request) -> None:
    """Digested Data takes the place of Data, and of all its parts. Raises KmipError(INVALID_FIELD)."""
    if request.data is not None or request.correlation_value is not None:
        raise KmipError(Cause.INVALID_FIELD, "Digested Data is neither given with Data nor in parts")
    if request.init_indicator or request.final_indicator:
        raise KmipError(Cause.INVALID_FIELD, "Digested Data is not given in parts")


def _data(ctx: Context, request: Request, *, in_parts: bool) -> bytes:
    """ "Data: Yes for single-part. No for multi-part." Raises KmipError(MISSING_DATA | INVALID_FIELD)."""
    data = ctx.outputs.resolve(request.data)
    if data is None and not in_parts:
        raise KmipError(Cause.MISSING_DATA, "Data is missing")
    return data or b""
