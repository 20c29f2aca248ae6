"""Searches: SQL against the same expression evaluated in Python over random objects."""

# ruff: noqa: PT012 (an error is expected to pass through a whole unit of work)

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kmipsrv.domain.ports import IndexRow, Store, StoredObject
from kmipsrv.domain.search import AllOf, AnyOf, Compare, Expression, Indexed, Not, Scalar
from kmipsrv.errors import Cause, KmipError
from kmipsrv.store.sqlite import SQLiteStore
from tests.store.conftest import OWNER, make

# --- the reference ---------------------------------------------------------------------------------------------------

COMPARED: dict[str, Any] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "mask": lambda a, b: a & b == b,
}


def same(a: Scalar, b: Scalar) -> bool:
    return type(a) is type(b) and a == b


def holds(obj: StoredObject, where: Expression) -> bool:
    match where:
        case Compare(column, "null"):
            return getattr(obj, column) is None
        case Compare(column, "not_null"):
            return getattr(obj, column) is not None
        case Compare(column, operator, value):
            found = getattr(obj, column)
            return found is not None and value is not None and bool(COMPARED[operator](found, value))
        case Indexed(key, leaves, low, high):
            rows = [row for row in obj.index if row.key == key]
            ranged = low is not None or high is not None

            def fits(instance: int) -> bool:
                mine = [row for row in rows if row.instance == instance]
                numbers = [row.value for row in mine if row.path == "" and isinstance(row.value, int)]
                inside = any((low is None or n >= low) and (high is None or n <= high) for n in numbers)
                found = all(any(row.path == path and same(row.value, value) for row in mine) for path, value in leaves)
                return found and (inside or not ranged)

            return any(fits(row.instance) for row in rows)
        case AllOf(terms):
            return all(holds(obj, term) for term in terms)
        case AnyOf(terms):
            return any(holds(obj, term) for term in terms)
        case Not(term):
            return not holds(obj, term)


# --- random objects and searches: few values, so that they meet ---------------------------------------------------------

numbers = st.integers(-1, 3)
values: st.SearchStrategy[Scalar] = st.one_of(numbers, st.sampled_from(["", "a", "ä"]), st.sampled_from([b"", b"a"]))
keys = st.sampled_from(["x-a", "x-b"])
paths = st.sampled_from(["", "p", "q"])
dates = ("activation_date", "deactivation_date", "compromise_date", "cryptographic_usage_mask")

objects = st.builds(
    lambda given, rows: (given, [IndexRow(*row) for row in rows]),
    st.fixed_dictionaries(
        {name: st.none() | numbers for name in dates} | {"initial_date": numbers, "object_type": numbers}
    ),
    st.lists(
        st.tuples(keys, st.integers(0, 1), paths, values), max_size=5, unique_by=lambda row: (row[0], row[1], row[2])
    ),
)

leaf: st.SearchStrategy[Expression] = st.one_of(
    st.builds(Compare, st.sampled_from(dates), st.sampled_from([*COMPARED, "null", "not_null"]), st.none() | numbers),
    st.builds(Compare, st.just("unique_identifier"), st.sampled_from(["eq", "ne"]), st.sampled_from(["0", "1", "9"])),
    st.builds(Indexed, keys, st.lists(st.tuples(paths, values), max_size=3).map(tuple)),
    st.builds(Indexed, keys, st.just(()), st.none() | numbers, st.none() | numbers),
)
searches: st.SearchStrategy[Expression] = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda terms: AllOf(tuple(terms))),
        st.lists(inner, max_size=3).map(lambda terms: AnyOf(tuple(terms))),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)


class Undo(Exception):
    """Leaves the store empty for the next example."""


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    drawn=st.lists(objects, max_size=6), where=searches, offset=st.integers(0, 4), limit=st.none() | st.integers(0, 4)
)
def test_sql_finds_what_the_expression_says(
    any_store: Store, drawn: list[Any], where: Expression, offset: int, limit: int | None
) -> None:
    with pytest.raises(Undo), any_store.work() as work:
        stored = []
        for number, (given_fields, rows) in enumerate(drawn):
            obj = make(str(number), index=rows)
            for name, value in given_fields.items():
                setattr(obj, name, value)
            work.insert(obj)
            stored.append(obj)
            work.insert(StoredObject(**{**_fields(obj), "owner": "CN=other", "key": None}))
        stored.sort(key=lambda obj: (obj.initial_date, obj.key), reverse=True)
        hits = [obj.unique_identifier for obj in stored if holds(obj, where)]
        end = None if limit is None else offset + limit
        assert work.locate(OWNER, where, offset, limit) == (len(hits), hits[offset:end])
        assert [obj.unique_identifier for obj in work.scan(OWNER, where)] == hits
        raise Undo


def _fields(obj: StoredObject) -> dict[str, Any]:
    return {name: getattr(obj, name) for name in StoredObject.__dataclass_fields__}


# --- single facts ----------------------------------------------------------------------------------------------------


def test_leaves_must_be_of_one_instance(any_store: Store) -> None:
    rows = [IndexRow("s", 0, "a", 1), IndexRow("s", 0, "b", 2), IndexRow("s", 1, "a", 3), IndexRow("s", 1, "b", 4)]
    with any_store.work() as work:
        work.insert(make("u", index=rows))
        assert work.locate(OWNER, Indexed("s", (("a", 1), ("b", 2))), 0, None)[0] == 1
        assert work.locate(OWNER, Indexed("s", (("a", 1), ("b", 4))), 0, None)[0] == 0


def test_the_caller_may_write_while_it_scans(any_store: Store) -> None:
    with any_store.work() as work:
        for number in range(20):
            work.insert(make(str(number), initial_date=number))
    with any_store.work() as work:
        for seen, obj in enumerate(work.scan(OWNER, AllOf(()))):
            assert obj.unique_identifier == str(19 - seen)
            obj.destroy_date = 5
            work.update(obj, index=False)
    with any_store.work() as work:
        assert work.locate(OWNER, Compare("destroy_date", "eq", 5), 0, 0) == (20, [])


@pytest.mark.parametrize(
    "where",
    [
        AllOf(tuple(Compare("object_type", "eq", number) for number in range(1000))),
        Indexed("x", tuple((str(number), number) for number in range(1000))),
        AllOf(tuple(AnyOf(tuple(Compare("flags", "eq", n) for n in range(200))) for _ in range(200))),
    ],
)
def test_a_huge_search_is_refused(any_store: Store, where: Expression) -> None:
    with any_store.work() as work, pytest.raises(KmipError) as refused:
        work.locate(OWNER, where, 0, None)
    assert refused.value.cause is Cause.SERVER_LIMIT_EXCEEDED


def test_a_deep_search_is_refused(any_store: Store) -> None:
    where: Expression = AllOf(())
    for _ in range(5000):
        where = Not(where)
    with any_store.work() as work, pytest.raises(KmipError) as refused:
        work.locate(OWNER, where, 0, None)
    assert refused.value.cause is Cause.SERVER_LIMIT_EXCEEDED


@pytest.mark.parametrize(
    "where",
    [
        Indexed("x", tuple((str(number), number) for number in range(255))),
        AllOf(tuple(Indexed("x", ((str(number), number),)) for number in range(170))),
        Not(AnyOf(tuple(Not(Indexed("x", ((str(number), number),))) for number in range(170)))),
        AllOf(tuple(AnyOf((Compare("flags", "eq", 0), Indexed("x", low=number))) for number in range(150))),
    ],
)
def test_the_largest_searches_that_are_allowed_run(any_store: Store, where: Expression) -> None:
    rows = [IndexRow("x", 0, str(number), number) for number in range(255)]
    with any_store.work() as work:
        for number in range(20):
            work.insert(make(str(number), index=rows))
        assert work.locate(OWNER, where, 0, 1)[0] == 20


def test_numbers_beyond_64_bits_are_refused(any_store: Store) -> None:
    with any_store.work() as work:
        for where in (Compare("flags", "eq", 2**63), Indexed("x", low=-(2**63) - 1), Indexed("x", (("", 2**64),))):
            with pytest.raises(KmipError) as refused:
                work.locate(OWNER, where, 0, None)
            assert refused.value.cause is Cause.NUMERIC_RANGE
        assert work.locate(OWNER, AllOf(()), 2**70, 2**70) == (0, [])


def test_an_unknown_column_or_a_value_of_another_type_is_a_mistake_of_the_caller(any_store: Store) -> None:
    with any_store.work() as work:
        for column, value in (("index", 1), ("1=1; --", 1), ("flags", "1"), ("owner", 1)):
            with pytest.raises(ValueError, match="compar"):
                work.locate(OWNER, Compare(column, "eq", value), 0, None)


def test_values_are_values_and_never_sql(any_store: Store) -> None:
    hostile = "' OR 1=1 --"
    with any_store.work() as work:
        work.insert(make("u", index=[IndexRow(hostile, 0, hostile, hostile)]))
        work.insert(make("v"))
        assert work.locate(OWNER, Indexed(hostile, ((hostile, hostile),)), 0, None) == (1, ["u"])
        assert work.locate(hostile, AllOf(()), 0, None) == (0, [])


def test_a_selective_attribute_is_found_by_its_index(store: SQLiteStore) -> None:
    with store.work() as work:
        work.insert(make("u", index=[IndexRow("x", 0, "", "v")]))
    statements: list[str] = []
    store._connection.set_trace_callback(statements.append)
    with store.work() as work:
        work.locate(OWNER, AllOf((Indexed("x", (("", "v"),)), Compare("object_type", "eq", 2))), 0, 5)
    store._connection.set_trace_callback(None)
    asked = next(line for line in statements if line.startswith("SELECT"))
    plan = " / ".join(row[3] for row in store._connection.execute("EXPLAIN QUERY PLAN " + asked))
    assert "SEARCH objects USING INTEGER PRIMARY KEY" in plan
    assert "USING COVERING INDEX ix_object_index_text (key=? AND text=?)" in plan
    assert "SCAN" not in plan
