"""PyKMIP's server as a process: `pykmip_server.py PORT STATE`, with the certificates in STATE and its database beside them."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path


def main(port: int, state: Path) -> None:
    warnings.simplefilter("ignore")  # it calls SQLAlchemy and cryptography as they were
    from kmip.services.server.server import KmipServer

    certs, folder = state / "certs", state / "pykmip"
    (folder / "policies").mkdir(parents=True, exist_ok=True)
    server = KmipServer(
        hostname="127.0.0.1",
        port=port,
        certificate_path=str(certs / "server.pem"),
        key_path=str(certs / "server.key"),
        ca_path=str(certs / "ca.pem"),
        auth_suite="TLS1.2",
        config_path=None,
        log_path=str(folder / "server.log"),
        policy_path=str(folder / "policies"),
        logging_level="ERROR",
        database_path=str(folder / "pykmip.db"),
    )
    with server:
        server.serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
