"""From a YAML file to a `Config`, or to one `ConfigError` that names every mistake in it."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

from kmipsrv.config.kinds import Kind
from kmipsrv.config.tables import Config
from kmipsrv.errors import ConfigError

T = TypeVar("T")


class _Loader(yaml.SafeLoader):
    """YAML without surprises: a key that is there twice is a mistake, not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is there twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(path: Path) -> Config:
    """The configuration in this file; ConfigError names every mistake in it."""
    return replace(read(load_yaml(path), path.resolve().parent, str(path)), file=path.resolve())


def load_yaml(path: Path) -> Any:
    """The plain values in this YAML file; an empty file is an empty mapping."""
    try:
        values = yaml.load(path.read_bytes(), _Loader)  # noqa: S506 - a SafeLoader, see above
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); `kmipsrv init DIR` makes one") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    return {} if values is None else values


def read(values: Any, folder: Path, name: str = "configuration") -> Config:
    """A Config from plain values (what YAML gives). `folder` is where relative paths start, `name` heads the errors."""
    reader = _Reader(folder)
    config = reader.table(Config, values, "", folder=folder)
    if config is not None and not reader.mistakes:
        reader.rules(config)
    if config is None or reader.mistakes:
        raise ConfigError("\n  ".join([f"{name}: {_plural(len(reader.mistakes))}", *reader.mistakes]))
    return config


class _Reader:
    """Walks the values along the tables and collects the mistakes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mistakes: list[str] = []

    def mistake(self, path: str, text: str) -> None:
        self.mistakes.append(f"{path or 'the file'}: {text}")

    def table(self, table: type[T], values: Any, path: str, **given: Any) -> T | None:
        """One table from one mapping; None where a mistake leaves nothing to build."""
        if not isinstance(values, dict):
            self.mistake(path, f"{_shown(values)} is not accepted; use a mapping of {_keys(table)}")
            return None
        rows = {row.name: row for row in fields(cast("Any", table)) if "hidden" not in row.metadata}
        for key in [key for key in values if key not in rows]:
            close = difflib.get_close_matches(str(key), rows, n=1)
            mend = f"did you mean {close[0]}?" if close else f"accepted: {', '.join(rows)}"
            self.mistake(_join(path, key), f"there is no such setting; {mend}")
        before = len(self.mistakes)
        for name, row in rows.items():
            where = _join(path, name)
            if name in values:
                given[name] = self.value(row.metadata, values[name], where)
            elif "section" in row.metadata:
                given[name] = self.table(row.metadata["section"], {}, where)
            elif isinstance(row.default, Path):
                given[name] = self.folder / row.default
            elif "absent" in row.metadata:
                given[name] = self.value(row.metadata, row.metadata["absent"], where)
            elif row.default is MISSING and row.default_factory is MISSING:
                self.mistake(where, f"is missing; use {row.metadata['kind'].accepts}")
        return table(**given) if len(self.mistakes) == before else None

    def value(self, metadata: Mapping[str, Any], value: Any, path: str) -> Any:
        if "section" in metadata:
            return self.table(metadata["section"], {} if value is None else value, path)
        if "sections" in metadata:
            value = [] if value is None else value
            if not isinstance(value, list):
                self.mistake(
                    path, f"{_shown(value)} is not accepted; use a list, each of {_keys(metadata['sections'])}"
                )
                return None
            return tuple(self.table(metadata["sections"], item, f"{path}[{i}]") for i, item in enumerate(value))
        kind: Kind[Any] = metadata["kind"]
        try:
            return kind.read(value, self.folder)
        except ValueError:
            shown = "the value" if metadata.get("secret") else _shown(value)
            self.mistake(path, f"{shown} is not accepted; use {kind.accepts}")
            return None

    def rules(self, config: Config) -> None:
        """What one setting says about another."""
        if not config.tls.client_ca:
            self.mistake("tls.client_ca", "is empty, so no client could ever connect; give at least one file")
        domains = [authority.domain for authority in config.tls.client_ca]
        for name in sorted({name for name in domains if domains.count(name) > 1}):
            self.mistake("tls.client_ca", f"the trust domain {name!r} is there twice; put its certificates in one file")
        if config.token.pin_file is not None and config.token.credential is not None:
            self.mistake("token", "pin_file and credential are both given; use one of them")
        doors = [(name, where) for name in ("listen", "https") if (where := getattr(config, name))]
        for i, (name, where) in enumerate(doors):
            if where.port and where in [other for _, other in doors[:i]]:
                self.mistake(name, f"{where} is taken by another door; use another port")
        for i, device in enumerate(config.devices):
            identifiers = {**asdict(device), "password": None, "owner": None}
            if not any(identifiers.values()):
                self.mistake(f"devices[{i}]", "matches every device; give at least one identifier")
        heard: set[tuple[str, str]] = set()
        for i, endpoint in enumerate(config.notifications.endpoints):
            if not (endpoint.notify or endpoint.put):
                self.mistake(f"notifications.endpoints[{i}]", "hears of nothing; set notify or put")
            if (endpoint.owner, str(endpoint.address)) in heard:
                self.mistake(f"notifications.endpoints[{i}]", "is there twice; keep one")
            heard.add((endpoint.owner, str(endpoint.address)))
        names = [user.username for user in config.users]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.mistake("users", f"username {name!r} is there twice; keep one")
        taken: dict[tuple[str, str], int] = {}
        for i, rule in enumerate(config.identities):
            if rule.domain not in domains:
                self.mistake(f"identities[{i}].domain", f"{rule.domain!r} is no domain of tls.client_ca")
            for certificate in ((rule.domain, name) for name in rule.names):
                if taken.setdefault(certificate, i) != i:
                    self.mistake(f"identities[{i}].names", f"{certificate[1]!r} has an owner already; keep one")


def _keys(table: type) -> str:
    return ", ".join(row.name for row in fields(cast("Any", table)) if "hidden" not in row.metadata)


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _plural(number: int) -> str:
    return "1 mistake" if number == 1 else f"{number} mistakes"
