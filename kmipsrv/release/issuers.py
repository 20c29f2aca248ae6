"""The names of token issuers (RFC 7519 §4.1.1), and the one normalisation under which two of them are the same."""

from __future__ import annotations

from urllib.parse import urlsplit


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
