"""Every line of the table of real evidence comes out as it says."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from kmipsrv.release.evidence import Endorsements, Refused, verify


@pytest.mark.shared
def test_every_line_of_the_table(evidence: Path) -> None:
    lines = [line for line in (evidence / "expect.tsv").read_text().splitlines() if line and line[0] != "#"]
    wrong = [line for line in lines if _verdict(evidence, line) != line.split("\t")[4]]
    assert len(lines) >= 41
    assert wrong == []


def _verdict(folder: Path, line: str) -> str:
    """`authentic` or `refuse`, or what a claim says that it should not."""
    kind, file, endorsements, at, _, expected = line.split("\t")
    given = [(folder / name).read_bytes() for name in endorsements.split() if name != "-"]
    time = datetime.datetime.fromisoformat(at)
    try:
        claims = verify(kind, (folder / file).read_bytes(), Endorsements.parse(given), time)
    except Refused as refusal:
        return "refuse" if refusal.step and refusal.reason else "a refusal without step or reason"
    json.dumps(claims, allow_nan=False)  # claims are JSON
    for name, value in json.loads(expected).items():
        actual = claims[name]
        if actual != value and not (isinstance(value, str) and str(actual).startswith(value)):
            return f"{name} is {actual}"
    return "authentic"
