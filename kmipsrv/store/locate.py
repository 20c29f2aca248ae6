"""Search expressions as SQL conditions on `objects` (`domain/search.py` says what they mean).

NULL is false, also below a Not: a negated condition asks whether it is not true. An index is asked by `id IN (…)`, which lets
the database start from the few hits of a selective attribute as well as filter by a common one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, false, literal, or_, select, true, tuple_

from kmipsrv.domain.search import AllOf, AnyOf, Compare, Expression, Indexed, Not, Scalar
from kmipsrv.errors import Cause, KmipError
from kmipsrv.store.statements import COLUMN_OF_FIELD
from kmipsrv.store.tables import attribute_keys, object_index, objects

MAX_TERMS: Final = 256  # comparisons and leaves in one search
MAX_DEPTH: Final = 32
INTEGERS: Final = range(-(2**63), 2**63)  # what a column holds

Condition = ColumnElement[bool]

OPERATORS: Final[dict[str, Callable[[Any, Any], Condition]]] = {
    "eq": lambda column, value: column == value,
    "ne": lambda column, value: column != value,
    "lt": lambda column, value: column < value,
    "le": lambda column, value: column <= value,
    "gt": lambda column, value: column > value,
    "ge": lambda column, value: column >= value,
    "null": lambda column, _: column.is_(None),
    "not_null": lambda column, _: column.is_not(None),
    "mask": lambda column, value: column.bitwise_and(value) == value,
}


def condition(owner: str, where: Expression) -> Condition:
    """The condition under which a row of `objects` is a hit of `owner`'s search.

    Raises KmipError(SERVER_LIMIT_EXCEEDED | NUMERIC_RANGE); ValueError for a column or operator that does not exist.
    """
    size = _size(where, 0)
    if size > MAX_TERMS:
        raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"a search has at most {MAX_TERMS} terms")
    return and_(objects.c.owner == owner, _term(owner, where))


def _size(where: Expression, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"a search is nested at most {MAX_DEPTH} deep")
    match where:
        case AllOf(terms) | AnyOf(terms):
            return 1 + sum(_size(term, depth + 1) for term in terms)
        case Not(term):
            return _size(term, depth + 1)
        case Indexed(leaves=leaves):
            return 1 + len(leaves)
        case Compare():
            return 1


def _term(owner: str, where: Expression) -> Condition:
    match where:
        case Compare(column, operator, value):
            if column not in COLUMN_OF_FIELD or operator not in OPERATORS:
                raise ValueError(f"no comparison '{operator}' with '{column}'")
            return OPERATORS[operator](COLUMN_OF_FIELD[column], _checked(value))
        case Indexed():
            return _indexed(owner, where)
        case AllOf(terms):
            return and_(true(), *(_term(owner, term) for term in terms))
        case AnyOf(terms):
            return or_(false(), *(_term(owner, term) for term in terms))
        case Not(term):
            return _term(owner, term).is_not(true())


def _indexed(owner: str, where: Indexed) -> Condition:
    """`id IN (rows of the first test whose (object, instance) is among the rows of every other test)`."""
    rows = object_index.c
    tests = [and_(_key(owner, where.key, path), _typed(value)) for path, value in where.leaves]
    if where.low is not None or where.high is not None:
        bounds: list[Condition] = [rows.number.is_not(None)]
        if where.low is not None:
            bounds.append(rows.number >= _checked(where.low))
        if where.high is not None:
            bounds.append(rows.number <= _checked(where.high))
        tests.append(and_(_key(owner, where.key, ""), *bounds))
    if not tests:
        known = select(attribute_keys.c.id).where(attribute_keys.c.owner == owner, attribute_keys.c.key == where.key)
        tests.append(rows.key.in_(known))
    hits = select(rows.object).where(tests[0])
    for test in tests[1:]:
        hits = hits.where(tuple_(rows.object, rows.instance).in_(select(rows.object, rows.instance).where(test)))
    return objects.c.id.in_(hits)


def _key(owner: str, key: str, path: str) -> Condition:
    known = attribute_keys.c
    wanted = select(known.id).where(known.owner == owner, known.key == key, known.path == path)
    return object_index.c.key == wanted.scalar_subquery()


def _typed(value: Scalar) -> Condition:
    rows = object_index.c
    if isinstance(value, str):
        return rows.text == value
    if isinstance(value, bytes):
        return rows.blob == literal(value)
    return rows.number == _checked(value)


def _checked(value: Scalar | None) -> Scalar | None:
    if isinstance(value, int) and value not in INTEGERS:
        raise KmipError(Cause.NUMERIC_RANGE, "a number of the search has more than 64 bits")
    return value
