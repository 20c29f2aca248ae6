"""The names of token issuers (RFC 7519 §4.1.1): which are known, and the one normalisation under which two are the same."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

MAA_ISSUER: Final = re.compile(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+\.attest\.azure\.(net|us|cn)\Z")
GCP_ISSUER: Final = "https://confidentialcomputing.googleapis.com"
ITA_ISSUERS: Final = (
    "Intel Trust Authority",
    "https://portal.trustauthority.intel.com",
    "https://portal.eu.trustauthority.intel.com",
)
PREFIX: Final = "issuer:"
"""What an authority begins with that is neither a URL nor a type of evidence."""


def evidence_types(authority: str) -> frozenset[str]:
    """The types of evidence in which the issuer `authority` of a policy can speak."""
    issuer = authority.removeprefix(PREFIX)
    if MAA_ISSUER.match(issuer):
        return frozenset(("maa",))
    if issuer == GCP_ISSUER:
        return frozenset(("gcp",))
    return frozenset(("ita",)) if issuer in ITA_ISSUERS else frozenset(("ear", "jwt"))


def normalise_issuer(text: str) -> str:
    """An issuer's URL in the one form that is compared: lower-case scheme and host, no `/` at the end.

    Azure's published policies write the same authority with and without the slash, while `iss` has none. What is not
    an https URL is compared as it is.
    """
    try:
        url = urlsplit(text)
        if url.scheme.lower() != "https" or not url.hostname or url.query or url.fragment or "@" in url.netloc:
            return text
        port = url.port
    except ValueError:
        return text
    host = url.hostname if port in (None, 443) else f"{url.hostname}:{port}"
    return f"https://{host}{url.path.removesuffix('/')}"
