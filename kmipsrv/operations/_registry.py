"""The registry of operations: the dispatcher, Query, Discover Versions, the client and the conformance table read it."""

from __future__ import annotations

import importlib
import pkgutil
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from kmipsrv.spec.enums import Operation
from kmipsrv.spec.versions import V1_0, Version
from kmipsrv.ttlv.codec import Item

H = TypeVar("H", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class OperationRow:
    """One operation: who serves it, its payload classes, and in which versions."""

    operation: Operation
    handler: Callable[..., Any]
    request: type[Any]
    response: type[Any] | None
    since: Version
    until: Version | None
    prepare: Callable[..., Any] | None
    advertised: Callable[..., bool] | None

    def exists_in(self, version: Version) -> bool:
        return self.since <= version and (self.until is None or version <= self.until)


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """What a handler returns whose answer is another operation's (Poll): the fields of its Response Batch Item."""

    fields: list[Item]


OPERATIONS: dict[Operation, OperationRow] = {}  # what clients ask of the server

TO_CLIENT: dict[Operation, OperationRow] = {}
"""What the server asks of clients (2.1 §6.2). A client that sends one of these is answered Operation Not Supported."""


def operation(
    code: Operation,
    since: Version = V1_0,
    until: Version | None = None,
    *,
    prepare: Callable[..., Any] | None = None,
    when: Callable[..., bool] | None = None,
) -> Callable[[H], H]:
    """Register `handler(ctx, request) -> response | None`; its annotations name the payload classes.

    `prepare(settings, effort, request)` does the slow part (key generation, password derivation) beside the queue: what
    it returns is the handler's `ctx.prepared`, None when there was nothing slow. `when(settings)` says whether the
    configuration switches the operation on; without it it always is.
    """

    def register(handler: H) -> H:
        hints = typing.get_type_hints(handler)
        response = hints.get("return")
        OPERATIONS[code] = OperationRow(
            operation=code,
            handler=handler,
            request=hints["request"],
            response=None if response in (None, type(None)) else response,
            since=since,
            until=until,
            prepare=prepare,
            advertised=when,
        )
        return handler

    return register


def to_client(code: Operation, *, when: Callable[..., bool]) -> Callable[[H], H]:
    """Register `compose(ctx, notice) -> request payload` of an operation that the server sends and whose answer has "no
    payload"; `when(settings)` says whether there is anybody to send it to."""

    def register(compose: H) -> H:
        request = typing.get_type_hints(compose)["return"]
        TO_CLIENT[code] = OperationRow(code, compose, request, None, V1_0, None, None, when)
        return compose

    return register


def load_all() -> dict[Operation, OperationRow]:
    """Import every module of the package, so that the registry is complete."""
    package = importlib.import_module("kmipsrv.operations")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"kmipsrv.operations.{module.name}")
    return OPERATIONS


def offered(version: Version, settings: Any) -> list[OperationRow]:
    """The operations that `version` has and the configuration switches on, both ways, in the order of their codes."""
    rows = [row for row in (*OPERATIONS.values(), *TO_CLIENT.values()) if row.exists_in(version)]
    return sorted((r for r in rows if r.advertised is None or r.advertised(settings)), key=lambda r: r.operation)
