"""Nothing goes round the gate: a look at the syntax trees of the whole server."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

MODULES = sorted((ROOT / "kmipsrv").rglob("*.py"))

GRANTS = {"kmipsrv/release/gate.py"}
"""Where a Grant is made."""
OPENS = {
    "kmipsrv/operations/_context.py": {"open", "open_record"},  # managed objects, and records of the server's own
    "kmipsrv/engine/own_keys.py": {"open_own"},
}
"""Which functions open what the keyring has sealed."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in MODULES:
        yield name(path), ast.parse(path.read_text("utf-8"))


def aliases(tree: ast.Module, wanted: str) -> set[str]:
    """The names under which a module knows `wanted`."""
    found = {wanted}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found |= {each.asname or each.name for each in node.names if each.name == wanted}
    return found


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_only_the_gate_makes_grants() -> None:
    makers = set()
    for module, tree in trees():
        names = aliases(tree, "Grant")
        for call in calls(tree):
            function = call.func
            direct = isinstance(function, ast.Name) and function.id in names
            if direct or (isinstance(function, ast.Attribute) and function.attr == "Grant"):
                makers.add(module)
    assert makers == GRANTS


@pytest.mark.parametrize("word", ["replace", "copy", "deepcopy", "__new__", "__setattr__", "loads"])
def test_nobody_makes_a_grant_in_a_roundabout_way(word: str) -> None:
    """No module that knows the class has a means to make or change an instance without its name."""
    allowed = {("kmipsrv/operations/_context.py", "replace")}  # of Key Blocks and rows
    found = set()
    for module, tree in trees():
        knows = any(
            isinstance(node, ast.ImportFrom) and any(each.name == "Grant" for each in node.names)
            for node in ast.walk(tree)
        )
        for call in calls(tree) if knows else ():
            function = call.func
            if word in (getattr(function, "id", ""), getattr(function, "attr", "")):
                found.add((module, word))
    assert found <= allowed


def test_the_replacements_of_the_context_are_not_of_grants() -> None:
    tree = ast.parse((ROOT / "kmipsrv/operations/_context.py").read_text("utf-8"))
    replaced = [ast.unparse(call.args[0]) for call in calls(tree) if getattr(call.func, "id", "") == "replace"]
    assert set(replaced) <= {"body", "obj.stored", "block"}


def test_the_keyring_is_opened_in_two_places() -> None:
    """`….keyring.open(…)`, however the keyring is reached: nobody else calls it, and nobody hands the method around."""
    found: dict[str, set[str]] = {}
    for module, tree in trees():
        if module.startswith("kmipsrv/keyring/"):
            continue  # the room itself
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute) and node.attr == "open" and _is_keyring(node.value):
                    found.setdefault(module, set()).add(function.name)
    assert found == OPENS


def _is_keyring(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id.endswith("keyring")) or (
        isinstance(node, ast.Attribute) and node.attr.endswith("keyring")
    )


def test_nobody_keeps_the_keyring_under_another_name() -> None:
    """The search above goes by the name, so the name has to stay."""
    for module, tree in trees():
        if module.startswith("kmipsrv/keyring/"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and _is_keyring(node.value):
                targets = [ast.unparse(target) for target in node.targets]
                assert all(target.endswith("keyring") for target in targets), (module, targets)


def test_the_envelope_s_inside_is_nobody_else_s() -> None:
    """`Envelope._open` asks for no Grant: it is the room's own."""
    for module, tree in trees():
        if module == "kmipsrv/keyring/envelope.py":
            continue
        for call in calls(tree):
            text = ast.unparse(call.func)
            assert not text.endswith(("keyring._open", "envelope._open", "_open_inner")), module
