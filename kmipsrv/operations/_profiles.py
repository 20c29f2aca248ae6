"""Which conformance profiles the server can claim: those whose operations it offers (KMIP Profiles, "Servers" clauses).

A profile that asks for more than operations is left out of the table: Suite B (the TLS suites and algorithms that the server
may use are the operator's), and server-to-client ones.
"""

from __future__ import annotations

from kmipsrv.domain.settings import Settings
from kmipsrv.operations._registry import offered
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.enums import ProfileName
from kmipsrv.spec.structures import ProfileInformation, ProfileVersion
from kmipsrv.spec.versions import V2_0, Version

_BASELINE = frozenset(
    (
        *(O.LOCATE, O.CHECK, O.GET, O.GET_ATTRIBUTES, O.GET_ATTRIBUTE_LIST, O.ADD_ATTRIBUTE, O.MODIFY_ATTRIBUTE),
        *(O.DELETE_ATTRIBUTE, O.ACTIVATE, O.REVOKE, O.DESTROY, O.QUERY, O.DISCOVER_VERSIONS),
    )
)
_TAPE = _BASELINE | {O.CREATE, O.REGISTER}
_RNG = frozenset((O.RNG_RETRIEVE, O.RNG_SEED))
_BASIC_CRYPTOGRAPHIC = frozenset((O.ENCRYPT, O.DECRYPT))
_ADVANCED_CRYPTOGRAPHIC = frozenset(
    (*_BASIC_CRYPTOGRAPHIC, *_RNG, O.SIGN, O.SIGNATURE_VERIFY, O.MAC, O.MAC_VERIFY, O.HASH)
)
# Not to be had from a server alone, or none of the Complete Server's: what the client answers, and what only tests use.
_OPTIONAL = frozenset((O.NOTIFY, O.PUT, O.INTEROP))

# Profile (without its KMIP version) -> operations that it asks for.
_OPERATIONS: dict[str, frozenset[O]] = {
    "Baseline Server Basic": _BASELINE,
    "Baseline Server TLS v1.2": _BASELINE,
    "Baseline Server": _BASELINE,
    "Tape Library Server": _TAPE,
    "Symmetric Key Lifecycle Server": _BASELINE | {O.CREATE},
    "Asymmetric Key Lifecycle Server": _BASELINE | {O.CREATE_KEY_PAIR},
    "Basic Cryptographic Server": _BASELINE | _BASIC_CRYPTOGRAPHIC,
    "Advanced Cryptographic Server": _BASELINE | _ADVANCED_CRYPTOGRAPHIC,
    "RNG Cryptographic Server": _BASELINE | _RNG,
    "Symmetric Key Foundry Server": _BASELINE | {O.CREATE},
    "Opaque Managed Object Store Server": _BASELINE | {O.REGISTER},
    "Storage Array with Self Encrypting Drive Server": _BASELINE | {O.REGISTER},
    "HTTPS Server": _BASELINE,
    "JSON Server": _BASELINE,
    "XML Server": _BASELINE,
}
_COMPLETE = ("Complete Server Basic", "Complete Server TLS v1.2")
_HTTPS = ("HTTPS Server", "JSON Server", "XML Server")


def profiles(version: Version, settings: Settings) -> list[ProfileInformation]:
    """The profiles that `version` has a name for and that the server can claim, in the order of their codes."""
    return [
        ProfileInformation(
            profile_name=name,
            profile_version=ProfileVersion(profile_version_major=version.major, profile_version_minor=version.minor),
        )
        for name in ProfileName
        if name.exists_in(version) and _claimed(name, version, settings)
    ]


def _claimed(name: ProfileName, version: Version, settings: Settings) -> bool:
    """1.3 and 1.4 name a profile for each KMIP version, 2.0 and later for the version of the message alone."""
    kind, separator, number = name.text.partition(" KMIP v")
    if version >= V2_0:
        return not separator and _conforms(kind, version, settings)
    found = [each for each in Version if str(each) == number]
    return bool(found) and _conforms(kind, found[0], settings)


def _conforms(kind: str, version: Version, settings: Settings) -> bool:
    here = {row.operation for row in offered(version, settings)}
    if kind in _COMPLETE:
        return all(each in here for each in O if each.exists_in(version) and each not in _OPTIONAL)
    needed = _OPERATIONS.get(kind)
    if needed is None or (kind in _HTTPS and not settings.https):
        return False
    return all(each in here for each in needed if each.exists_in(version))
