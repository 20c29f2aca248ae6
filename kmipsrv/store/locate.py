"""Search expressions as SQL (`domain/search.py` says what they mean).

NULL is false, also below a Not: a negated condition asks whether it is not true. An index is asked by `id IN (…)`. Where a
hit must have an indexed attribute, the database starts from that index and not from the owner's objects.

A search is first taken apart into its shape and its values; the SQL of a shape is made once and remembered, since clients
ask the same few questions all day. Names of attributes are values, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Dialect,
    Select,
    Text,
    and_,
    bindparam,
    false,
    func,
    intersect,
    literal_column,
    or_,
    select,
    true,
)

from kmipsrv.domain.search import AllOf, AnyOf, Compare, Expression, Indexed, Not, Scalar
from kmipsrv.errors import Cause, KmipError
from kmipsrv.store.statements import COLUMN_OF_FIELD
from kmipsrv.store.tables import attribute_keys, object_index, objects

MAX_TERMS: Final = 256  # comparisons and leaves in one search
MAX_DEPTH: Final = 32
MAX_SHAPES: Final = 512  # remembered
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


@dataclass(frozen=True, slots=True)
class Slot:
    """Stands in a shape where a value stood."""

    number: int
    kind: type

    @property
    def name(self) -> str:
        """Of the parameter."""
        return f"v{self.number}"


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL text and the names of its positional parameters."""

    sql: str
    order: tuple[str, ...]

    def bind(self, values: dict[str, Any]) -> tuple[Any, ...]:
        """The positional parameters."""
        return tuple(values[name] for name in self.order)


@dataclass(frozen=True, slots=True)
class Search:
    """The three questions that one shape asks. All take `owner` and the slots."""

    page: Statement  # limit, offset -> unique identifiers, newest first
    keys: Statement  # -> ids, newest first
    total: Statement  # -> the number of hits


def search(dialect: Dialect, owner: str, where: Expression) -> tuple[Search, dict[str, Any]]:
    """-> the statements for this search and its values by name.

    Raises KmipError(SERVER_LIMIT_EXCEEDED | NUMERIC_RANGE); ValueError for a column or operator that does not exist.
    """
    values: list[Scalar] = []
    shape = _lift(where, values, 0)
    found = _statements(dialect, shape)
    return found, {"owner": owner} | {f"v{number}": value for number, value in enumerate(values)}


# --- shapes ----------------------------------------------------------------------------------------------------------


def _lift(where: Any, values: list[Scalar], depth: int) -> Any:
    """The same expression with slots for its values, which are appended to `values`."""
    if depth > MAX_DEPTH:
        raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"a search is nested at most {MAX_DEPTH} deep")

    def slot(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, int) and value not in INTEGERS:
            raise KmipError(Cause.NUMERIC_RANGE, "a number of the search has more than 64 bits")
        values.append(value)
        if len(values) > 2 * MAX_TERMS:
            raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"a search has at most {MAX_TERMS} terms")
        return Slot(len(values) - 1, str if isinstance(value, str) else bytes if isinstance(value, bytes) else int)

    match where:
        case Compare(column, operator, value):
            return Compare(column, operator, slot(value))
        case Indexed(key, leaves, low, high):
            lifted = tuple((slot(path), slot(value)) for path, value in leaves)
            return Indexed(slot(key), lifted, slot(low), slot(high))
        case AllOf(terms) | AnyOf(terms):
            if len(terms) > MAX_TERMS:
                raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"a search has at most {MAX_TERMS} terms")
            return type(where)(tuple(_lift(term, values, depth + 1) for term in terms))
        case Not(term):
            return Not(_lift(term, values, depth + 1))
    raise ValueError(f"{where!r} is no search expression")


@lru_cache(maxsize=MAX_SHAPES)
def _statements(dialect: Dialect, shape: Any) -> Search:
    owner: Any = objects.c.owner
    if _starts_from_index(shape):
        # Keys of attributes belong to one owner, so this only confirms. As an expression it hides the owner's index from
        # the planner, which would otherwise look through all of the owner's objects for the sake of their order.
        owner = owner.concat(literal_column("''"))
    hits = and_(owner == bindparam("owner"), _term(shape))

    def compiled(statement: Select[Any]) -> Statement:
        result = statement.compile(dialect=dialect)
        return Statement(str(result), tuple(getattr(result, "positiontup", None) or ()))

    newest_first = (objects.c.initial_date.desc(), objects.c.id.desc())
    identifiers = select(objects.c.unique_identifier).where(hits).order_by(*newest_first)
    return Search(
        page=compiled(
            identifiers.limit(bindparam("limit", type_=BigInteger)).offset(bindparam("offset", type_=BigInteger))
        ),
        keys=compiled(select(objects.c.id).where(hits).order_by(*newest_first)),
        total=compiled(select(func.count()).select_from(objects).where(hits)),
    )


def _starts_from_index(shape: Any) -> bool:
    """Whether every hit has an indexed attribute."""
    match shape:
        case Indexed():
            return True
        case AllOf(terms):
            return any(_starts_from_index(term) for term in terms)
        case AnyOf(terms):
            return bool(terms) and all(_starts_from_index(term) for term in terms)
    return False


# --- conditions ------------------------------------------------------------------------------------------------------


def _term(shape: Any) -> Condition:
    match shape:
        case Compare(column, operator):
            value: Any = shape.value
            if column not in COLUMN_OF_FIELD or operator not in OPERATORS:
                raise ValueError(f"no comparison '{operator}' with '{column}'")
            where = COLUMN_OF_FIELD[column]
            if value is not None and value.kind is not where.type.python_type:
                raise ValueError(f"'{column}' is not compared with {value.kind.__name__}")
            if value is None and operator not in ("null", "not_null"):
                return false()  # comparison with NULL
            return OPERATORS[operator](where, None if value is None else bindparam(value.name, type_=where.type))
        case Indexed():
            return objects.c.id.in_(_hits(shape))
        case AllOf(terms):
            indexed = [term for term in terms if isinstance(term, Indexed)]
            others = [_term(term) for term in terms if not isinstance(term, Indexed)]
            if indexed:
                others.append(objects.c.id.in_(_common([_hits(term) for term in indexed])))
            return and_(true(), *others)
        case AnyOf(terms):
            return or_(false(), *(_term(term) for term in terms))
        case Not(term):
            return _term(term).is_not(true())
    raise ValueError(f"{shape!r} is no search expression")


def _common(sets: list[Select[Any]]) -> Any:
    """What is in every set. Databases look for the best order of joins, and of many joins they look for minutes; the
    intersection of sets they just compute."""
    return sets[0] if len(sets) == 1 else intersect(*sets)


def _hits(shape: Any) -> Select[Any]:
    """The objects that have an instance which passes every test."""
    rows, known = object_index.c, attribute_keys.c

    def key(path: ColumnElement[Any]) -> Condition:
        same = and_(known.owner == bindparam("owner"), known.key == bindparam(shape.key.name), known.path == path)
        return rows.key == select(known.id).where(same).scalar_subquery()

    tests: list[Condition] = []
    for path, value in shape.leaves:
        typed = {str: rows.text, bytes: rows.blob, int: rows.number}[value.kind]
        tests.append(and_(key(bindparam(path.name, type_=Text)), typed == bindparam(value.name, type_=typed.type)))
    if shape.low is not None or shape.high is not None:
        bounds: list[Condition] = [rows.number.is_not(None)]
        if shape.low is not None:
            bounds.append(rows.number >= bindparam(shape.low.name))
        if shape.high is not None:
            bounds.append(rows.number <= bindparam(shape.high.name))
        tests.append(and_(key(literal_column("''", Text)), *bounds))
    if not tests:
        same = and_(known.owner == bindparam("owner"), known.key == bindparam(shape.key.name))
        tests.append(rows.key.in_(select(known.id).where(same)))
    if len(tests) == 1:
        return select(rows.object).where(tests[0])
    found = _common([select(rows.object, rows.instance).where(test) for test in tests]).subquery()
    return select(found.c.object)
