"""The release gate with its real adapters: settings out of the configuration, keys and memory out of the store.

`app.py` opens it for the server, the commands `release` and `audit` for their own work. Files are read at the start and on
SIGHUP, never in a request: policies and enrolled keys as the section `release` names them, endorsements from the folder
`endorsements` of the state directory, where `kmipsrv attest import` puts them.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from kmipsrv.audit.journal import Journal
from kmipsrv.config import Config, EnrolledKey, Release
from kmipsrv.domain.ports import Keyring, Store
from kmipsrv.engine.attestation import types_of
from kmipsrv.engine.ledger import StoredLedger
from kmipsrv.engine.own_keys import own_keys
from kmipsrv.errors import ConfigError
from kmipsrv.release import endorsement_store
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.evidence import TYPES
from kmipsrv.release.gate import Gate, GateSettings
from kmipsrv.release.policy import MAX_SIZE, NotAPolicy, Policy, parse
from kmipsrv.release.refusal import Refused
from kmipsrv.release.rules import Rule
from kmipsrv.release.statements import PublicKey, load_public_key
from kmipsrv.spec.enums import AttestationType

ENDORSEMENTS: Final = "endorsements"
SUFFIX: Final = ".json"


def open_gate(settings: GateSettings, store: Store, keyring: Keyring, random: Callable[[int], bytes]) -> Gate:
    """The gate of one process. The first start makes the deployment's keys. Raises KmipError, TokenUnavailable."""
    keys = own_keys(store, keyring, random)
    journal = Journal(keys.signing)
    return Gate(
        settings,
        nonce_key=keys.nonce,
        signing_key=keys.signing,
        ledger=lambda work: StoredLedger(work, journal),
        random=random,
    )


def gate_settings(config: Config) -> GateSettings:
    """What the configuration says, its files read anew. Raises ConfigError."""
    release = config.release
    named = policy_files(release.policies)
    return GateSettings(
        policies={policy.id: policy for policy in named.values()},
        rules=_rules(release, named),
        endorsements=endorsements(config.state / ENDORSEMENTS),
        approvers=enrolled("release.approvers", release.approvers),
        nonce_lifetime=datetime.timedelta(seconds=release.nonce_lifetime),
        bare_nonce=release.bare_nonce,
    )


def attestation_types(settings: GateSettings) -> tuple[AttestationType, ...]:
    """What Query answers: the types of evidence that something is pinned for."""
    return types_of(settings.endorsements)


def policy_files(folder: Path | None) -> dict[str, Policy]:
    """The policies of a folder, by file name without suffix. Raises ConfigError."""
    found: dict[str, Policy] = {}
    if folder is None:
        return found
    try:
        for path in sorted(folder.iterdir()):
            if path.suffix == SUFFIX:
                with path.open("rb") as file:
                    found[path.stem] = parse(file.read(MAX_SIZE + 1))
    except OSError as error:
        raise ConfigError(f"release.policies: {error.filename} cannot be read: {error.strerror}") from error
    except NotAPolicy as error:
        raise ConfigError(f"release.policies: {path} is not a policy: {error}") from error
    return found


def _rules(release: Release, named: dict[str, Policy]) -> tuple[Rule, ...]:
    known = {policy.id for policy in named.values()}
    rules = []
    for number, rule in enumerate(release.rules):
        policy = named.get(rule.policy)
        policy_id = rule.policy if policy is None else policy.id
        if policy_id not in known:
            raise ConfigError(
                f"release.rules[{number}].policy: {rule.policy!r} is no policy in the folder release.policies: give the name "
                "of a file there without .json, or a policy's id"
            )
        rules.append(Rule(policy_id, rule.tenant, rule.object_group, rule.name))
    return tuple(rules)


def enrolled(place: str, rows: Iterable[EnrolledKey]) -> dict[str, PublicKey]:
    """The public keys of approvers or administrators, by name. Raises ConfigError."""
    keys: dict[str, PublicKey] = {}
    for number, row in enumerate(rows):
        try:
            keys[row.id] = load_public_key(row.key.read_bytes())
        except OSError as error:
            raise ConfigError(f"{place}[{number}].key: {row.key} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"{place}[{number}].key: {row.key}: {error}") from error
    return keys


def endorsements(folder: Path) -> dict[str, Endorsements]:
    """What is pinned, by type of evidence; types that nothing is pinned for are not in it. Raises ConfigError."""
    found: dict[str, Endorsements] = {}
    try:
        for kind in TYPES:
            bag = endorsement_store.load(folder, kind)
            if bag != Endorsements():
                found[kind] = bag
    except Refused as refused:
        raise ConfigError(f"endorsements: {refused.reason}") from refused
    except OSError as error:
        raise ConfigError(f"endorsements: {error.filename} cannot be read: {error.strerror}") from error
    return found
