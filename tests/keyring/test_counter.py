"""Seals are counted in blocks, durably, by all processes together, up to 2^32."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kmipsrv.errors import Cause, ConfigError, KmipError
from kmipsrv.keyring.counter import BLOCK, FileCounter
from kmipsrv.keyring.master import MAX_SEALS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "seals"
    assert FileCounter.create(path) is True
    assert FileCounter.create(path) is False
    return path


def test_a_block_is_one_write(path: Path) -> None:
    counter = FileCounter(path, block=10)
    for _ in range(10):
        counter.take(1)
    written = path.stat().st_mtime_ns
    assert counter.reserved() == {1: 10}
    counter.take(1)
    assert counter.reserved() == {1: 20}
    assert path.stat().st_mtime_ns >= written
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_versions_and_processes_are_counted_together(path: Path) -> None:
    counters = [FileCounter(path) for _ in range(3)]
    for counter in counters:
        counter.take(1)
        counter.take(2)
    assert counters[0].reserved() == {1: 3 * BLOCK, 2: 3 * BLOCK}


def test_a_forked_child_takes_a_block_of_its_own(path: Path) -> None:
    counter = FileCounter(path)
    counter.take(1)
    child = os.fork()
    if child == 0:
        counter.take(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert counter.reserved() == {1: 2 * BLOCK}


def test_nothing_is_sealed_beyond_the_bound(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text(f"1 {MAX_SEALS - 3}\n2 0\n")
    counter, second = FileCounter(path), FileCounter(path)
    for _ in range(3):
        counter.take(1)
    for each in (counter, second, counter):
        with pytest.raises(KmipError) as caught:
            each.take(1)
        assert caught.value.cause is Cause.CRYPTOGRAPHIC_FAILURE
    assert "rotate" in caplog.text
    assert counter.reserved() == {1: MAX_SEALS, 2: 0}
    counter.take(2)


@pytest.mark.parametrize("text", ["x", "1", "1 2 3", "1 -1", "0 1", f"1 {MAX_SEALS + 1}", "1 1\n" * 20000, "\xff"])
def test_a_file_that_is_no_counter_is_refused(path: Path, text: str) -> None:
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match="not a seal counter"):
        FileCounter(path).reserved()
    with pytest.raises(KmipError) as caught:
        FileCounter(path).take(1)
    assert caught.value.cause is Cause.GENERAL_FAILURE
    assert path.read_text(encoding="latin-1") == text


def test_a_lost_counter_is_an_error_and_no_fresh_start(path: Path) -> None:
    path.unlink()
    with pytest.raises(ConfigError, match="restore it from the backup"):
        FileCounter(path).reserved()
    with pytest.raises(KmipError):
        FileCounter(path).take(1)
    assert not path.exists()
