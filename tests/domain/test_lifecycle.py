"""All states × all events, against the transitions that KMIP 2.1 §4.57 numbers; and the dates."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmipsrv.domain.lifecycle import Event, effective_state, state_expression, transition
from kmipsrv.domain.search import AllOf, AnyOf, Compare, Expression
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import State

# Written down from the specification's text, not from the code: state -> what each event leads to (None: not permitted).
TABLE: dict[State, dict[Event, State | None]] = {
    State.PRE_ACTIVE: {
        Event.ACTIVATE: State.ACTIVE,
        Event.REVOKE: None,
        Event.REVOKE_COMPROMISED: State.COMPROMISED,
        Event.DESTROY: State.DESTROYED,
    },
    State.ACTIVE: {
        Event.ACTIVATE: None,
        Event.REVOKE: State.DEACTIVATED,
        Event.REVOKE_COMPROMISED: State.COMPROMISED,
        Event.DESTROY: None,
    },
    State.DEACTIVATED: {
        Event.ACTIVATE: None,
        Event.REVOKE: None,
        Event.REVOKE_COMPROMISED: State.COMPROMISED,
        Event.DESTROY: State.DESTROYED,
    },
    State.COMPROMISED: {
        Event.ACTIVATE: None,
        Event.REVOKE: None,
        Event.REVOKE_COMPROMISED: None,
        Event.DESTROY: State.DESTROYED_COMPROMISED,
    },
    State.DESTROYED: {
        Event.ACTIVATE: None,
        Event.REVOKE: None,
        Event.REVOKE_COMPROMISED: State.DESTROYED_COMPROMISED,
        Event.DESTROY: None,
    },
    State.DESTROYED_COMPROMISED: dict.fromkeys(Event),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_state_meets_every_event(state: State, event: Event) -> None:
    expected = TABLE[state][event]
    if expected is not None:
        assert transition(state, event) is expected
        return
    with pytest.raises(KmipError) as caught:
        transition(state, event)
    destroyed = state in (State.DESTROYED, State.DESTROYED_COMPROMISED) and event is Event.DESTROY
    assert caught.value.cause is (Cause.OBJECT_DESTROYED if destroyed else Cause.WRONG_KEY_LIFECYCLE_STATE)


@dataclass
class Dates:
    activation_date: int | None = None
    deactivation_date: int | None = None
    compromise_date: int | None = None
    destroy_date: int | None = None


NOW = 1000


@pytest.mark.parametrize(
    ("dates", "state"),
    [
        (Dates(), State.PRE_ACTIVE),
        (Dates(activation_date=NOW + 1), State.PRE_ACTIVE),
        (Dates(activation_date=NOW), State.ACTIVE),
        (Dates(activation_date=NOW - 9, deactivation_date=NOW + 1), State.ACTIVE),
        (Dates(activation_date=NOW - 9, deactivation_date=NOW), State.DEACTIVATED),
        (Dates(deactivation_date=NOW - 1), State.PRE_ACTIVE),  # no transition leads from Pre-Active to Deactivated
        (Dates(activation_date=NOW, compromise_date=NOW), State.COMPROMISED),
        (Dates(destroy_date=NOW), State.DESTROYED),
        (Dates(destroy_date=NOW, compromise_date=NOW), State.DESTROYED_COMPROMISED),
    ],
)
def test_the_dates_decide(dates: Dates, state: State) -> None:
    assert effective_state(dates, NOW) is state


def holds(expression: Expression, dates: Dates) -> bool:
    """The expression's meaning, as the store has it: comparisons with NULL are false."""
    match expression:
        case AllOf(terms):
            return all(holds(term, dates) for term in terms)
        case AnyOf(terms):
            return any(holds(term, dates) for term in terms)
        case Compare(column, operator, value):
            found = getattr(dates, column)
            if operator in ("null", "not_null"):
                return (found is None) == (operator == "null")
            assert isinstance(value, int)
            if found is None:
                return False
            return bool({"le": found <= value, "gt": found > value}[operator])
    raise AssertionError(expression)


MOMENTS = st.one_of(st.none(), st.integers(NOW - 3, NOW + 3))


@given(st.builds(Dates, MOMENTS, MOMENTS, MOMENTS, MOMENTS), st.integers(NOW - 4, NOW + 4))
def test_the_store_finds_exactly_the_objects_in_a_state(dates: Dates, now: int) -> None:
    assert [state for state in State if holds(state_expression(state, now), dates)] == [effective_state(dates, now)]
