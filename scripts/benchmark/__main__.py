"""`scripts/bench`: options, the order of the rounds, and what makes a run fail."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmark import floors, gate, report, requests
from benchmark.load import Load, Round
from benchmark.servers import Echo, Kmipsrv, PyKMIP, Server

ROOT = Path(__file__).resolve().parent.parent.parent
OBJECTS = 64  # that Get asks for in turn
QUICK = {"seconds": 0.6, "rounds": 1, "connections": [1, 64], "floor": 0.2}


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Get and Create of kmipsrv and of PyKMIP's server, in turn, on this machine."
    )
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="for each server, operation and number of connections"
    )
    parser.add_argument("--rounds", type=int, default=4, help="turns into which these seconds are divided")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64], metavar="N")
    parser.add_argument("--workers", type=int, nargs="+", metavar="N", help="default: 1, and 2 on two cores or more")
    parser.add_argument("--json", type=Path, default=ROOT / "bench-out" / "bench.json", metavar="FILE")
    parser.add_argument("--png", type=Path, default=ROOT / "bench-out" / "bench.png", metavar="FILE")
    parser.add_argument("--python-load", action="store_true", help="make load with Python even if there is a compiler")
    parser.add_argument("--gate", action="store_true", help="also measure the verification of attestation evidence")
    parser.add_argument("--quick", action="store_true", help="one short round of each: whether it runs, not how fast")
    chosen = parser.parse_args(arguments)
    chosen.floor = 1.0
    if chosen.quick:
        vars(chosen).update(QUICK)
    chosen.workers = chosen.workers or ([1, 2] if (os.cpu_count() or 1) > 1 and not chosen.quick else [1])
    return chosen


def measure(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything, in a temporary folder."""
    load, measured_on = Load(folder, python=chosen.python_load), machine()
    with ExitStack() as running:
        ours = [running.enter_context(Kmipsrv(folder / f"workers-{count}", count)) for count in chosen.workers]
        servers: list[Server] = [*ours, running.enter_context(PyKMIP(ours[0].state))]
        files = {("create", each.name): requests.write(folder / "create", [requests.create()]) for each in servers}
        for number, server in enumerate(servers):
            made = [requests.created(answer) for answer in server.ask([requests.create()] * OBJECTS)]
            gets = [requests.get(each) for each in made]
            files["get", server.name] = requests.write(folder / f"get-{number}", gets)
        echo = running.enter_context(Echo(ours[0].state, ours[0].ask([gets_of(files, ours[0])])[0]))
        files["echo", echo.name] = files["get", ours[0].name]
        rounds: list[dict[str, Any]] = []
        plan: tuple[tuple[str, list[Server]], ...] = (("echo", [echo]), ("get", servers), ("create", servers))
        for operation, driven in plan:
            for connections in chosen.connections:
                say(f"{operation}, {connections} connections")
                for name, total in in_turn(load, driven, files, operation, connections, chosen).items():
                    row = {"operation": operation, "server": name, "connections": connections}
                    rounds.append(row | total.summary())
        about = {each.name: each.about for each in (*servers, echo)}
    say("floors")
    result: dict[str, Any] = {"machine": measured_on, "revision": revision(), "load": load.name, "servers": about}
    report.add_ratios(rounds)
    result["rounds"], result["floors"] = rounds, floors.measure(folder, chosen.floor)
    if chosen.gate:
        say("attestation")
        result["gate"] = gate.measure(folder / "gate", chosen.floor)
    result["remarks"] = remarks(rounds) + (gate.remarks(result["gate"]) if chosen.gate else [])
    return result


def gets_of(files: dict[tuple[str, str], Path], server: Server) -> bytes:
    """The first Get of a server's file."""
    data = files["get", server.name].read_bytes()
    return data[: 8 + int.from_bytes(data[4:8], "big")]


def in_turn(
    load: Load,
    servers: list[Server],
    files: dict[tuple[str, str], Path],
    operation: str,
    connections: int,
    chosen: argparse.Namespace,
) -> dict[str, Round]:
    """The servers one after the other, as many times as there are rounds: what slows the machine slows them all."""
    totals = {server.name: Round() for server in servers}
    for _ in range(chosen.rounds):
        for server in servers:
            part = load.run(server, connections, chosen.seconds / chosen.rounds, files[operation, server.name])
            totals[server.name].add(part)
    return totals


def remarks(rounds: list[dict[str, Any]]) -> list[str]:
    """What the figures mean; failures first."""
    said = [f"FAILED: {row['failures']} answers in {row}" for row in rounds if row["failures"]]
    most = max(row["connections"] for row in rounds)
    top = {(row["operation"], row["server"]): row for row in rounds if row["connections"] == most}
    echo = top["echo", "TLS echo"]["per_second"]
    for (operation, server), row in top.items():
        if "times_pykmip" in row:
            goal = report.GOALS[operation]
            verdict = "reached" if row["times_pykmip"] >= goal else "NOT reached"
            said.append(
                f"{operation.capitalize()}, {most} connections, {server}: {row['times_pykmip']:.1f} × PyKMIP"
                f" (goal {goal}: {verdict}); the load could take {echo / row['per_second']:.1f} times as much"
            )
    return ["", *said]


def machine() -> str:
    model = next(
        (line.split(":", 1)[1].strip() for line in cpuinfo() if line.startswith("model name")), platform.machine()
    )
    busy = f"{os.getloadavg()[0]:.1f} busy before"  # on a machine that has other work the ratios are too low
    return f"{os.cpu_count()} × {model} ({busy}), {platform.system()} {platform.release()}, Python {platform.python_version()}"


def cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


def revision() -> str:
    """The commit that was measured, "" outside a repository."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def main() -> int:
    chosen = options(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="kmipsrv-bench-") as folder:
        result = measure(chosen, Path(folder))
    print(report.table(result))
    report.write_json(result, chosen.json)
    report.draw(result, chosen.png)
    say(f"wrote {chosen.json} and {chosen.png}")
    return 1 if any(row["failures"] or not row["answers"] for row in result["rounds"]) else 0


if __name__ == "__main__":
    sys.exit(main())
