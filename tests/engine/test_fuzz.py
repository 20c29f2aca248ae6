"""A bounded run of the fuzzer; `scripts/fuzz` runs a million messages."""

from __future__ import annotations

import os

import pytest

from kmipsrv.engine.engine import Engine
from tests.engine.fuzz import Fuzzer

SECONDS = float(os.environ.get("KMIPSRV_FUZZ_SECONDS", "30"))


@pytest.mark.slow
@pytest.mark.timeout(int(SECONDS) + 120)
def test_mutated_messages_end_in_an_answer(engine: Engine) -> None:
    report = Fuzzer(engine, seed=20).run(messages=1_000_000, seconds=SECONDS)
    assert report.answers + report.closed == report.messages > 1000
    assert report.successes > 0, "some mutations must get through to be worth anything"
