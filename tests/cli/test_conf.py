"""What conf/ ships is true: the commented configuration, and the unit."""

from __future__ import annotations

import configparser
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from kmipsrv.cli.init import merged
from kmipsrv.cli.main import COMMANDS, WRONG_CONFIGURATION
from kmipsrv.config import ClientAuthority, Config, load, read
from tests.conftest import ROOT

EXAMPLE = ROOT / "conf/kmipsrv.yaml"


def settings(table: Any, path: str = "") -> list[str]:
    """Every setting of the tables, as its path inside the file."""
    found: list[str] = []
    for row in fields(table):
        if "hidden" in row.metadata:
            continue
        found.append(f"{path}{row.name}")
        if "section" in row.metadata:
            found += settings(row.metadata["section"], f"{path}{row.name}.")
    return found


def keys(values: Any, path: str = "") -> list[str]:
    found: list[str] = []
    for name, value in values.items():
        found.append(f"{path}{name}")
        if isinstance(value, dict) and value:
            found += keys(value, f"{path}{name}.")
    return found


def test_the_example_shows_every_setting_with_its_default() -> None:
    assert load(EXAMPLE) == read({}, EXAMPLE.parent)
    assert sorted(keys(yaml.safe_load(EXAMPLE.read_text("utf-8")))) == sorted(settings(Config))


def test_the_rows_of_lists_are_in_the_example() -> None:
    text = EXAMPLE.read_text("utf-8")
    for table in (ClientAuthority, *(row.metadata["sections"] for row in fields(Config) if "sections" in row.metadata)):
        assert is_dataclass(table)
        for row in fields(table):
            assert row.name in text


def test_every_other_configuration_is_an_overlay_for_init(tmp_path: Path) -> None:
    found = [yaml.safe_load(path.read_text("utf-8")) for path in (ROOT / "conf").glob("*.yaml")]
    overlays = [values for values in found if set(values) & {row.name for row in fields(Config)}]
    assert overlays
    for values in overlays:
        assert read(merged(values), tmp_path).folder == tmp_path


def test_the_unit_starts_what_there_is() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "conf/kmipsrv.service", encoding="utf-8")
    service = unit["Service"]
    program, command, *_ = service["ExecStart"].split()
    assert program.endswith("/.venv/bin/kmipsrv")
    assert command in COMMANDS
    assert service["Type"] == "notify"
    assert service["RestartPreventExitStatus"] == str(WRONG_CONFIGURATION)
    assert service["LoadCredential"].startswith("token-pin:")
    for setting in ("NoNewPrivileges", "PrivateTmp", "MemoryDenyWriteExecute"):
        assert service[setting] == "yes"
