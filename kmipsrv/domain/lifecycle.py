"""The lifecycle of a managed object: NIST SP 800-57's states as KMIP 2.1 §4.57 State numbers their transitions.

The state is never stored: it is what the dates say at a given moment, so a date takes effect when it is reached, without
any background job. `state_expression` says the same to the store, so that Locate by State is right at every moment.
"""

from __future__ import annotations

import enum
from typing import Protocol

from kmipsrv.domain.search import AllOf, AnyOf, Compare, Expression
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import State


class Event(enum.Enum):
    """What a client can ask for; the dates cause the other transitions."""

    ACTIVATE = "Activate"
    REVOKE_COMPROMISED = "Revoke, compromised"
    REVOKE = "Revoke, any other reason"
    DESTROY = "Destroy"


# (state, event) -> new state, with the number of the transition in §4.57. "Only the transitions described above are permitted."
TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.PRE_ACTIVE, Event.DESTROY): State.DESTROYED,  # 2
    (State.PRE_ACTIVE, Event.REVOKE_COMPROMISED): State.COMPROMISED,  # 3
    (State.PRE_ACTIVE, Event.ACTIVATE): State.ACTIVE,  # 4
    (State.ACTIVE, Event.REVOKE_COMPROMISED): State.COMPROMISED,  # 5
    (State.ACTIVE, Event.REVOKE): State.DEACTIVATED,  # 6
    (State.DEACTIVATED, Event.DESTROY): State.DESTROYED,  # 7
    (State.DEACTIVATED, Event.REVOKE_COMPROMISED): State.COMPROMISED,  # 8
    (State.COMPROMISED, Event.DESTROY): State.DESTROYED_COMPROMISED,  # 9
    (State.DESTROYED, Event.REVOKE_COMPROMISED): State.DESTROYED_COMPROMISED,  # 10
}

DESTROYED = frozenset((State.DESTROYED, State.DESTROYED_COMPROMISED))


class Dates(Protocol):
    """What a state is worked out from; seconds since the epoch."""

    activation_date: int | None
    deactivation_date: int | None
    compromise_date: int | None
    destroy_date: int | None


def effective_state(dates: Dates, now: int) -> State:
    """The state at `now`."""
    if dates.destroy_date is not None:
        return State.DESTROYED if dates.compromise_date is None else State.DESTROYED_COMPROMISED
    if dates.compromise_date is not None:
        return State.COMPROMISED
    if dates.activation_date is None or dates.activation_date > now:
        return State.PRE_ACTIVE
    if dates.deactivation_date is not None and dates.deactivation_date <= now:
        return State.DEACTIVATED
    return State.ACTIVE


def transition(state: State, event: Event) -> State:
    """The state after `event`. Raises KmipError(WRONG_KEY_LIFECYCLE_STATE | OBJECT_DESTROYED)."""
    new = TRANSITIONS.get((state, event))
    if new is None:
        cause = Cause.WRONG_KEY_LIFECYCLE_STATE
        if event is Event.DESTROY and state in DESTROYED:
            cause = Cause.OBJECT_DESTROYED
        raise KmipError(cause, f"{event.value} is not possible in state {state.text}")
    return new


def state_expression(state: State, now: int) -> Expression:
    """The objects that are in `state` at `now`."""
    alive = Compare("destroy_date", "null")
    sound = Compare("compromise_date", "null")
    activated = Compare("activation_date", "le", now)
    deactivated = Compare("deactivation_date", "le", now)
    not_activated = AnyOf((Compare("activation_date", "null"), Compare("activation_date", "gt", now)))
    match state:
        case State.PRE_ACTIVE:
            return AllOf((alive, sound, not_activated))
        case State.ACTIVE:
            return AllOf(
                (
                    alive,
                    sound,
                    activated,
                    AnyOf((Compare("deactivation_date", "null"), Compare("deactivation_date", "gt", now))),
                )
            )
        case State.DEACTIVATED:
            return AllOf((alive, sound, activated, deactivated))
        case State.COMPROMISED:
            return AllOf((alive, Compare("compromise_date", "not_null")))
        case State.DESTROYED:
            return AllOf((Compare("destroy_date", "not_null"), sound))
        case _:
            return AllOf((Compare("destroy_date", "not_null"), Compare("compromise_date", "not_null")))
