"""Discover Versions (KMIP 2.1 §6.1.16, §6.2.1)."""

from __future__ import annotations

from dataclasses import field

from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.messages import protocol_version
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import ProtocolVersion
from kmipsrv.spec.versions import V1_0, Version


@structure
class DiscoverVersionsRequest:
    protocol_version: list[ProtocolVersion] = field(default_factory=list)


@structure
class DiscoverVersionsResponse:
    protocol_version: list[ProtocolVersion] = field(default_factory=list)


# 1.1 brought the operation; vCenter and others send it in a 1.0 message too.
@operation(Operation.DISCOVER_VERSIONS, since=V1_0)
def discover_versions(ctx: Context, request: DiscoverVersionsRequest) -> DiscoverVersionsResponse:
    """ "The protocol versions returned […] SHALL be ordered by preference, most preferred first"; of those that the
    client names, only the ones both sides know."""
    ours = [protocol_version(version) for version in sorted(Version, reverse=True)]
    wanted = request.protocol_version
    return DiscoverVersionsResponse(protocol_version=[v for v in wanted if v in ours] if wanted else ours)
