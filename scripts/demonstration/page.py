"""The decisions of the audit trail as one page: every policy as a tree, each leaf with what it asked, what it saw, what came
of it. No scripts, nothing from elsewhere; all text is escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Any

_STYLE = """
:root { --true: #1a7f37; --false: #c1121f; --open: #9a6700; --line: #d0d7de; --soft: #57606a; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1f2328; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.05rem; margin: 0; }
p.lead { color: var(--soft); }
section { border: 1px solid var(--line); border-left-width: .5rem; border-radius: .4rem; margin: 1.2rem 0; padding: .8rem 1rem; }
section.granted { border-left-color: var(--true); } section.denied, section.failed { border-left-color: var(--false); }
section.challenged { border-left-color: var(--open); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .8rem; margin: .5rem 0; font-size: .85rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code { font: .82rem ui-monospace, monospace; overflow-wrap: anywhere; }
ul.tree, ul.tree ul { list-style: none; margin: 0; padding-left: 1.3rem; border-left: 1px solid var(--line); }
ul.tree { padding-left: 0; border: 0; }
li { margin: .3rem 0; }
.mark { display: inline-block; width: 6.6rem; box-sizing: border-box; margin-right: .5rem; padding: 0 .6rem;
  border-radius: 1rem; color: white; text-align: center; font-size: .78rem; font-weight: 600; }
.true { background: var(--true); } .false { background: var(--false); } .indeterminate { background: var(--open); }
.seen { color: var(--soft); font-size: .85rem; margin-left: 7.1rem; }
"""


def page(title: str, lead: str, records: Sequence[tuple[str, Mapping[str, Json]]]) -> str:
    """The page of these (heading, audit record)s."""
    sections = "".join(_section(heading, record) for heading, record in records)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(title)}</title><style>{_STYLE}</style>'
        f'<h1>{_text(title)}</h1><p class="lead">{_text(lead)}</p>{sections}</html>\n'
    )


def _section(heading: str, record: Mapping[str, Json]) -> str:
    facts = {
        "outcome": record["outcome"],
        "why": record["reason"],
        "time": record["time"],
        "requester": record["requester"],
        "object": record["object"],
        "policy": ", ".join(record["policies"]),
        "evidence": ", ".join(f"{each['type']} {each['sha256']}" for each in record["evidence"]),
        "released to": record["recipient"],
    }
    rows = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts.items() if value)
    return (
        f'<section class="{_text(record["outcome"])}"><h2>{_text(heading)}</h2><dl>{rows}</dl>'
        f"{''.join(_decision(each) for each in _decisions(record))}</section>"
    )


def _decisions(record: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    if "decision" in record:
        yield record["decision"]
        yield from (each["decision"] for each in record["beside"])


def _decision(decision: Mapping[str, Json]) -> str:
    parts = "".join(_finding(each) for each in (decision["tree"], *decision["conditions"]))
    return f'<ul class="tree">{parts}</ul>'


def _finding(finding: Mapping[str, Json]) -> str:
    result = finding["result"]
    asks = f"{finding['kind']} {finding['asks']}" if finding["kind"] in ("allOf", "anyOf") else finding["asks"]
    expected = f" <code>{_value(finding['expected'])}</code>" if "expected" in finding else ""
    line = f'<span class="mark {_text(result)}">{_text(result)}</span>{_text(asks)}{expected}'
    if "expected" in finding:
        reason = f" ({_text(finding['reason'])})" if finding.get("reason") else ""
        line += f'<div class="seen">seen <code>{_value(finding["seen"])}</code>{reason}</div>'
    children = "".join(_finding(each) for each in finding.get("children", ()))
    return f"<li>{line}{f'<ul>{children}</ul>' if children else ''}</li>"


def _value(value: Json) -> str:
    return _text("nothing" if value is None else value if isinstance(value, str) else json.dumps(value))


def _text(value: Json) -> str:
    return html.escape(str(value))
