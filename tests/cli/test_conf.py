"""What conf/ ships is true: the commented configuration, and the unit."""

from __future__ import annotations

import configparser
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from kmipsrv.app import edge_limits
from kmipsrv.cli.init import merged
from kmipsrv.cli.main import COMMANDS, WRONG_CONFIGURATION
from kmipsrv.config import ClientAuthority, Config, load, read
from kmipsrv.errors import ConfigError
from kmipsrv.server.limits import Limits
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


def test_the_server_and_the_configuration_have_the_same_defaults() -> None:
    assert edge_limits(read({}, EXAMPLE.parent)) == Limits()


NAMED = re.compile(r"\b((?:docs|scripts|conf|tests/system)/[A-Za-z0-9_/-]+(?:\.(?:md|json|tsv|py|yaml|service))?)")


def test_every_file_that_code_and_documents_name_is_there() -> None:
    """Documents, scripts and examples, by their path from the root of the sources."""
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "kmipsrv").rglob("*.py")]
    texts += [path for folder in ("conf", "scripts") for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = [path for path in texts if "__pycache__" not in path.parts]
    found = {(path.name, name) for path in texts for name in NAMED.findall(path.read_text("utf-8"))}
    assert len(found) > 20
    assert {(path, name) for path, name in found if not (ROOT / name).exists()} == set()


def test_the_rows_of_lists_are_in_the_example() -> None:
    text = EXAMPLE.read_text("utf-8")
    for table in (ClientAuthority, *(row.metadata["sections"] for row in fields(Config) if "sections" in row.metadata)):
        assert is_dataclass(table)
        for row in fields(table):
            assert row.name in text


def test_what_nothing_serves_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"metrics: there is no such setting"):
        read({"metrics": "127.0.0.1:9100"}, EXAMPLE.parent)


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
