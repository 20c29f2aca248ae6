"""What was measured, as a table, as JSON and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GOALS = {"get": 12, "create": 8}
"""Times PyKMIP at 64 connections, the project's first mark."""

COLORS = {"kmipsrv": ("#1b5e9b", "#6ba3d6"), "PyKMIP": ("#b0582e",), "TLS": ("#9a9a9a",)}


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"machine: {result['machine']}", f"load:    {result['load']}", ""]
    lines += [f"{name}: {about}" for name, about in result["servers"].items()]
    lines += ["", f"{'':18}{'connections':>12}{'a second':>12}{'p50 ms':>10}{'p99 ms':>10}{'× PyKMIP':>10}"]
    for operation in ("echo", "get", "create"):
        lines.append(f"{operation.capitalize()}/s")
        for row in (row for row in result["rounds"] if row["operation"] == operation):
            times = f"{row['times_pykmip']:>10.1f}" if "times_pykmip" in row else ""
            lines.append(
                f"  {row['server']:<20}{row['connections']:>8}{row['per_second']:>12,.0f}"
                f"{row['p50_ms']:>10.2f}{row['p99_ms']:>10.2f}{times}"
            )
    lines += ["", "floors, one core, a second"]
    lines += [f"  {name:<28}{value:>12,.0f}" for name, value in result["floors"].items()]
    if "gate" in result:
        lines += ["", "attestation, one core, milliseconds"]
        lines += [f"  {name:<28}{value:>12.3f}" for name, value in result["gate"].items()]
    return "\n".join([*lines, *result["remarks"]])


def add_ratios(rounds: list[dict[str, Any]]) -> None:
    """Tell each of our rows how many times PyKMIP's of the same kind it is."""
    pykmip = {(row["operation"], row["connections"]): row["per_second"] for row in rounds if "PyKMIP" in row["server"]}
    for row in rounds:
        theirs = pykmip.get((row["operation"], row["connections"]))
        if theirs and row["server"].startswith("kmipsrv"):
            row["times_pykmip"] = round(row["per_second"] / theirs, 2)


def write_json(result: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")


def draw(result: dict[str, Any], path: Path) -> None:
    """Rates and 99th percentiles, by operation and connections, to a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    figure.suptitle(f"kmipsrv and PyKMIP, the same requests in turn — {result['machine']}", fontsize=11)
    for column, operation in enumerate(("get", "create")):
        rows = [row for row in result["rounds"] if row["operation"] == operation]
        for line, (key, title) in enumerate((("per_second", "a second"), ("p99_ms", "p99, milliseconds"))):
            _bars(axes[line][column], rows, key, f"{operation.capitalize()}: {title}")
    axes[0][0].legend(fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _bars(axis: Any, rows: list[dict[str, Any]], key: str, title: str) -> None:
    servers = list(dict.fromkeys(row["server"] for row in rows))
    connections = sorted({row["connections"] for row in rows})
    width = 0.8 / len(servers)
    for number, server in enumerate(servers):
        values = {row["connections"]: row for row in rows if row["server"] == server}
        places = [at + (number - (len(servers) - 1) / 2) * width for at in range(len(connections))]
        palette = next(colors for name, colors in COLORS.items() if server.startswith(name))
        heights = [values[each][key] for each in connections]
        bars = axis.bar(places, heights, width * 0.95, label=server, color=palette[number % len(palette)])
        axis.bar_label(bars, fmt=lambda value: f"{value:,.0f}" if value >= 10 else f"{value:.2g}", fontsize=7)
    axis.set_yscale("log")
    axis.set_xticks(range(len(connections)), [f"{each} connection{'s' * (each > 1)}" for each in connections])
    axis.set_title(title, fontsize=10)
    axis.margins(y=0.15)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
