"""A server process for the tests and for measuring: the whole edge around an engine that echoes.

It says on standard output what happens (`port N`, `ready`, `working`) and answers two requests of its own: `pid` with the
number of the process, `wait` after a line on standard input.
"""

from __future__ import annotations

import argparse
import functools
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from kmipsrv.engine.call import Call
from kmipsrv.errors import ConfigError
from kmipsrv.identity.certificate import Identities, TrustDomain
from kmipsrv.server.limits import Limits
from kmipsrv.server.listener import Door
from kmipsrv.server.serve import bind, run, serve
from kmipsrv.server.tls import Trust, trust
from kmipsrv.server.workers import Seat, Supervisor


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def read_trust(folder: Path) -> Trust:
    domains = [TrustDomain("default", (folder / "ca.pem").read_bytes())]
    return trust(folder / "server.pem", folder / "server.key", Identities(domains))


def answer(calls: Sequence[Call]) -> Sequence[bytes | None]:
    return [_one(call.frame) for call in calls]


def _one(frame: bytes) -> bytes:
    text = frame[8:12]
    if text == b"wait":
        say("working")
        sys.stdin.readline()
    elif text == b"pid\0":
        return b"\x42\x00\x7b" + frame[3:8] + b"%08d" % os.getpid()
    return b"\x42\x00\x7b" + frame[3:]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--fail", action="store_true", help="every worker fails to start")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    logging.basicConfig(level=logging.INFO, format="%(process)d %(message)s")
    listening = bind("127.0.0.1", 0)
    doors = [Door(listening)]
    certificates = read_trust(folder)
    limits = Limits(drain=3.0)

    def work(ready: Callable[[], None], seat: Seat | None) -> None:
        if arguments.fail:
            raise ConfigError("no token")
        reload = functools.partial(read_trust, folder)
        run(serve(doors, certificates, limits, answer, ready=ready, reload=reload, seat=seat))

    say(f"port {listening.getsockname()[1]}")
    serving = functools.partial(say, "ready")
    if arguments.workers > 1:
        return Supervisor(arguments.workers, work, [listening], serving, limits.drain + 2).run()
    work(serving, None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
