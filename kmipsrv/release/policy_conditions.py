"""The conditions of a release policy: what must hold beside the claims, all of it.

One row of `CONDITIONS` for each condition: how its operand must look, and how it is judged over the facts. They
follow the leaves' rules: three results, only TRUE satisfies, a fact that is not known is INDETERMINATE. Times are
UTC, durations whole seconds; a bound that was reached is in the past (`notAfter` itself is outside, as RFC 7519
§4.1.4 has it for `exp`).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from kmipsrv.release.canonical import Json, NotJson
from kmipsrv.release.facts import MAX_RECENT, Facts, from_timestamp, read_time, write_time
from kmipsrv.release.policy_leaves import Finding, NotAPolicy, Truth, quote

SKEW: Final = datetime.timedelta(seconds=60)
"""How far ahead of ours the clock of a verifier may run."""
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_SECONDS: Final = 100 * 366 * 86400
MAX_APPROVERS: Final = 64
MAX_WINDOWS: Final = 64

Judgement = tuple[Truth, Json, str]
"""The result, what was seen, and the reason where there is more to say."""


@dataclass(frozen=True, slots=True)
class Approvals:
    """M of N (`conditions.approvals`)."""

    m: int
    of: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` releases in any `per` seconds (`conditions.rate`)."""

    count: int
    per: datetime.timedelta


# --- operands -----------------------------------------------------------------------------------------------------


def _integer(value: Json, at: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise NotAPolicy(at, f"must be an integer from {low} to {high}")
    return value


def _members(value: Json, at: str, required: frozenset[str], optional: frozenset[str] = frozenset()) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise NotAPolicy(at, "must be an object")
    for name in sorted(set(value) - required - optional):
        raise NotAPolicy(f"{at}.{name}", f"unknown; known are {', '.join(sorted(required | optional))}")
    for name in sorted(required - set(value)):
        raise NotAPolicy(f"{at}.{name}", "is missing")
    return value


def _check_time(value: Json, at: str) -> None:
    try:
        read_time(value)
    except NotJson as error:
        raise NotAPolicy(at, str(error)) from None


def _check_seconds(value: Json, at: str) -> None:
    _integer(value, at, 1, MAX_SECONDS)


def _check_count(value: Json, at: str) -> None:
    _integer(value, at, 1, 2**31)


def _check_boolean(value: Json, at: str) -> None:
    if not isinstance(value, bool):
        raise NotAPolicy(at, "must be true or false")


def _check_windows(value: Json, at: str) -> None:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_WINDOWS:
        raise NotAPolicy(at, f"must be an array of 1 to {MAX_WINDOWS} windows")
    for index, body in enumerate(value):
        place = f"{at}[{index}]"
        window = _members(body, place, frozenset(), frozenset({"days", "from", "to"}))
        days = window.get("days", list(DAYS))
        if not isinstance(days, list) or not days or not all(isinstance(d, str) and d in DAYS for d in days):
            raise NotAPolicy(f"{place}.days", f"must be an array of some of {', '.join(DAYS)}")
        if ("from" in window) != ("to" in window) or not window:
            raise NotAPolicy(place, "must name days, or from and to, or all three")
        if "from" in window and _minutes(window["from"], f"{place}.from") >= _minutes(window["to"], f"{place}.to"):
            raise NotAPolicy(place, "from must be before to; a window over midnight is two windows")


_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\Z|24:00\Z")


def _minutes(value: Json, at: str) -> int:
    if not isinstance(value, str) or not _CLOCK.match(value):
        raise NotAPolicy(at, "must be a time of day in UTC, HH:MM, up to 24:00")
    return int(value[:2]) * 60 + int(value[3:])


def _check_rate(value: Json, at: str) -> None:
    rate = _members(value, at, frozenset({"count", "per"}))
    _integer(rate["count"], f"{at}.count", 1, MAX_RECENT)
    _check_seconds(rate["per"], f"{at}.per")


def _check_approvals(value: Json, at: str) -> None:
    approvals = _members(value, at, frozenset({"m", "of"}))
    of = approvals["of"]
    if not isinstance(of, list) or not 1 <= len(of) <= MAX_APPROVERS or not all(isinstance(n, str) and n for n in of):
        raise NotAPolicy(f"{at}.of", f"must be an array of 1 to {MAX_APPROVERS} approvers")
    if len(set(of)) != len(of):
        raise NotAPolicy(f"{at}.of", "names an approver twice: M of N counts people")
    _integer(approvals["m"], f"{at}.m", 1, len(of))


def _check_tcb(value: Json, at: str) -> None:
    if not isinstance(value, dict) or not value:
        raise NotAPolicy(at, "must be an object from tee to its minimum, not empty")
    for tee, minimum in value.items():
        place = f"{at}.{tee}"
        if not isinstance(minimum, dict) or not minimum:
            raise NotAPolicy(place, "must be an object of components, not empty")
        for component, least in minimum.items():
            if component == "status":
                if not isinstance(least, list) or not least or not all(isinstance(s, str) for s in least):
                    raise NotAPolicy(f"{place}.status", "must be an array of the statuses that are good enough")
            elif component == "date":
                _check_time(least, f"{place}.date")
            else:
                _integer(least, f"{place}.{component}", 0, 2**53 - 1)


# --- judging ------------------------------------------------------------------------------------------------------

_UNKNOWN: Final = "not known"


def _not_before(operand: Json, facts: Facts) -> Judgement:
    return Truth.of(facts.now >= read_time(operand)), write_time(facts.now), ""


def _not_after(operand: Json, facts: Facts) -> Judgement:
    return Truth.of(facts.now < read_time(operand)), write_time(facts.now), ""


def _windows(operand: Json, facts: Facts) -> Judgement:
    now = facts.now.astimezone(datetime.UTC)
    minute = now.hour * 60 + now.minute
    inside = any(
        DAYS[now.weekday()] in window.get("days", DAYS)
        and ("from" not in window or _minutes(window["from"], "") <= minute < _minutes(window["to"], ""))
        for window in operand
    )
    return Truth.of(inside), f"{DAYS[now.weekday()]} {now:%H:%M}", ""


def _max_releases(operand: Json, facts: Facts) -> Judgement:
    if facts.releases is None:
        return Truth.INDETERMINATE, None, _UNKNOWN
    return Truth.of(0 <= facts.releases < operand), facts.releases, "releases so far"


def _rate(operand: Json, facts: Facts) -> Judgement:
    if facts.recent_releases is None:
        return Truth.INDETERMINATE, None, _UNKNOWN
    since = facts.now - datetime.timedelta(seconds=operand["per"])
    # A release with a date in the future counts: clocks that were set back do not refill the allowance.
    recent = sum(1 for moment in facts.recent_releases if moment > since)
    return Truth.of(recent < operand["count"]), recent, "releases in the period"


def _age(moment: datetime.datetime | None, operand: Json, facts: Facts) -> Judgement:
    if moment is None:
        return Truth.INDETERMINATE, None, _UNKNOWN
    age = facts.now - moment
    if age < -SKEW:
        return Truth.FALSE, write_time(moment), "made in the future"
    return Truth.of(age <= datetime.timedelta(seconds=operand)), write_time(moment), f"{age.total_seconds():.0f} s old"


def _require_key_binding(operand: Json, facts: Facts) -> Judgement:
    if operand is False:
        return Truth.TRUE, None, "not asked for"
    binding = facts.claims.get("key_binding")
    if binding is None:
        return Truth.INDETERMINATE, None, "the evidence binds no key"
    return Truth.of(isinstance(binding, Mapping) and bool(binding)), quote(binding), ""


def _approvals(operand: Json, facts: Facts) -> Judgement:
    present = sorted(facts.approvals.intersection(operand["of"]))
    return Truth.of(len(present) >= operand["m"]), present, f"{len(present)} of {operand['m']} approvals"


def _min_tcb(operand: Json, facts: Facts) -> Judgement:
    tee = facts.claims.get("tee")
    if not isinstance(tee, str):
        return Truth.INDETERMINATE, None, "the claim tee is absent"
    if tee not in operand:
        return Truth.FALSE, tee, "no minimum is given for this tee"
    levels = facts.claims.get("tcb")
    levels = levels if isinstance(levels, Mapping) else {}
    seen: dict[str, Json] = {}
    results: dict[str, Truth] = {}
    for component, least in operand[tee].items():
        if component == "status":
            status = seen[component] = facts.claims.get("tcb_status")
            results[component] = Truth.of(status in least) if isinstance(status, str) else Truth.INDETERMINATE
        elif component == "date":
            date = seen[component] = facts.claims.get("tcb_date")
            results[component] = _dated(date, least)
        else:
            level = seen[component] = levels.get(component)
            whole = isinstance(level, int) and not isinstance(level, bool)
            results[component] = Truth.of(level >= least) if whole else Truth.INDETERMINATE
    short = [component for component, result in results.items() if result is not Truth.TRUE]
    result = (
        next((results[c] for c in short if results[c] is Truth.FALSE), Truth.INDETERMINATE) if short else Truth.TRUE
    )
    return result, {name: quote(value) for name, value in seen.items()}, ", ".join(short)


def _dated(date: Json, least: Json) -> Truth:
    moment = from_timestamp(date)
    return Truth.INDETERMINATE if moment is None else Truth.of(moment >= read_time(least))


@dataclass(frozen=True, slots=True)
class Condition:
    """How an operand must look (or `NotAPolicy`), and what the facts make of it."""

    check: Callable[[Json, str], None]
    judge: Callable[[Json, Facts], Judgement]


CONDITIONS: Final[Mapping[str, Condition]] = {
    "notBefore": Condition(_check_time, _not_before),
    "notAfter": Condition(_check_time, _not_after),
    "windows": Condition(_check_windows, _windows),
    "maxReleases": Condition(_check_count, _max_releases),
    "rate": Condition(_check_rate, _rate),
    "maxEvidenceAge": Condition(_check_seconds, lambda operand, facts: _age(facts.evidence_time, operand, facts)),
    "maxCollateralAge": Condition(_check_seconds, lambda operand, facts: _age(facts.collateral_time, operand, facts)),
    "minTcb": Condition(_check_tcb, _min_tcb),
    "requireKeyBinding": Condition(_check_boolean, _require_key_binding),
    "approvals": Condition(_check_approvals, _approvals),
}


def parse_conditions(body: Json, at: str = "conditions") -> dict[str, Json]:
    """`body`, when every member is a condition with an operand that it takes; otherwise `NotAPolicy`."""
    if not isinstance(body, dict) or not body:
        raise NotAPolicy(at, "must be an object that is not empty; leave it out to ask for no conditions")
    for name, operand in body.items():
        if name not in CONDITIONS:
            raise NotAPolicy(f"{at}.{name}", f"unknown condition; known are {', '.join(CONDITIONS)}")
        CONDITIONS[name].check(operand, f"{at}.{name}")
    if "notBefore" in body and "notAfter" in body and read_time(body["notBefore"]) >= read_time(body["notAfter"]):
        raise NotAPolicy(f"{at}.notAfter", "is not after notBefore")
    return body


def judge_conditions(conditions: Mapping[str, Json], facts: Facts) -> tuple[Finding, ...]:
    """One finding for each condition of the policy, after the bounds that the evidence sets itself; never raises."""
    findings = [_validity(facts)]
    for name, operand in conditions.items():
        result, seen, reason = CONDITIONS[name].judge(operand, facts)
        findings.append(Finding(f"conditions.{name}", "condition", name, operand, seen, result, reason))
    return tuple(findings)


def _validity(facts: Facts) -> Finding:
    """Evidence that has expired, or is not valid yet, satisfies no policy: the one condition that is always there."""
    expected = [None if bound is None else write_time(bound) for bound in (facts.not_before, facts.not_after)]
    early = facts.not_before is not None and facts.now < facts.not_before - SKEW
    late = facts.not_after is not None and facts.now >= facts.not_after
    reason = "not valid yet" if early else "expired" if late else ""
    result = Truth.of(not (early or late))
    return Finding("conditions", "condition", "evidenceValidity", expected, write_time(facts.now), result, reason)
