"""How the examples reach the server that ./scripts/serve started: PyKMIP's client with the first client certificate.

Every example takes --state DIR (var), --port N (5696) and --version 1.0 … 2.0 (1.4).
"""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyKMIP 0.11.0 was written for older libraries
    from kmip import enums
    from kmip.pie.client import ProxyKmipClient

logging.getLogger("kmip").setLevel(logging.CRITICAL)
ROOT = Path(__file__).resolve().parent.parent.parent
VERSIONS = {version.name.removeprefix("KMIP_").replace("_", "."): version for version in enums.KMIPVersion}


def arguments(description: str | None, *positional: str) -> argparse.Namespace:
    """The command line of an example; `positional` are its own arguments."""
    parser = argparse.ArgumentParser(description=description)
    for name in positional:
        parser.add_argument(name.rstrip("?"), nargs="?" if name.endswith("?") else None)
    parser.add_argument("--state", type=Path, default=ROOT / "var", help="the server's state directory (var)")
    parser.add_argument("--port", type=int, default=5696)
    parser.add_argument("--version", choices=sorted(VERSIONS), default="1.4")
    return parser.parse_args()


def connect(options: argparse.Namespace) -> ProxyKmipClient:
    """A client; `with connect(options) as client:` opens and closes the connection."""
    certs = options.state / "certs"
    return ProxyKmipClient(
        hostname="127.0.0.1",
        port=options.port,
        cert=str(certs / "client.pem"),
        key=str(certs / "client.key"),
        ca=str(certs / "ca.pem"),
        kmip_version=VERSIONS[options.version],
    )
