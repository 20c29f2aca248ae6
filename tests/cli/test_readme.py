"""README.md says what the code says, links lead somewhere, and what is imported is installed."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from kmipsrv import __version__
from tests.conftest import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "certs/README.md", "docs/errata.md"]


def test_the_generated_parts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/readme", "--check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_help_of_each_main_command_is_shown() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for command in ("init", "serve", "client-cert", "doctor"):
        assert f"$ kmipsrv {command} --help\nUsage: kmipsrv {command} " in text


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert ((ROOT / page).parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES)
def test_what_is_said_to_be_a_script_is_one(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for name in set(re.findall(r"(?:\./)?scripts/([a-z-]+)\b(?!/)", text)):
        assert (ROOT / "scripts" / name).stat().st_mode & 0o111, name


def test_the_version_is_said_once() -> None:
    assert __version__.startswith("0.1")
    assert "version = attr: kmipsrv.__version__" in (ROOT / "setup.cfg").read_text("utf-8")
    assert f"version {__version__.rpartition('.')[0]}" in (ROOT / "README.md").read_text("utf-8")


def test_the_locks_name_no_address() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text("utf-8")
        assert "--hash=sha256:" in text
        assert re.search(r"https?://|index-url|find-links", text) is None


@pytest.mark.parametrize("script", [path.name for path in sorted((ROOT / "scripts").iterdir()) if path.is_file()])
def test_every_script_says_what_it_is_for(script: str) -> None:
    first, second, *_ = (ROOT / "scripts" / script).read_text("utf-8").splitlines()
    assert first.startswith("#!")
    assert second.startswith(("# ", '"""'))
    assert Path(ROOT / "scripts" / script).stat().st_mode & 0o111


def test_what_the_server_imports_is_required() -> None:
    """An import that only a developer's environment has would fail on a fresh machine."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    wanted = config["options"]["install_requires"] + config["options.extras_require"]["postgresql"]
    required = re.findall(r"^([A-Za-z0-9-]+)", wanted, re.MULTILINE)  # the extra's import is made where it is asked for
    provided = packages_distributions()
    imported = set()
    for path in (ROOT / "kmipsrv").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
                imported.add(node.module.split(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"kmipsrv"}
    assert {"cryptography", "sqlalchemy", "pkcs11"} <= foreign
    for name in foreign:
        assert {distribution.lower() for distribution in provided[name]} & {one.lower() for one in required}, name
