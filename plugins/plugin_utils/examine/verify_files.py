# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The report of verify as files: JUnit for a CI server, one HTML page for people. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    FAILED,
    NOT_APPLICABLE,
    PASSED,
    UNKNOWN,
    WARNING,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.page import (
    Notice,
    Page,
    attention,
    count,
    cut,
    escaped,
    printable,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.verify_report import (
    ORDER,
    milliseconds,
)

GROUPS = ("Services", "Models", "Tools", "Keys", "Data", "Hosts", "Network")
WORDS = {
    PASSED: "passed",
    FAILED: "failed",
    UNKNOWN: "unknown",
    WARNING: "warning",
    NOT_APPLICABLE: "n/a",
}


def junit(found: dict) -> str:
    """JUnit's XML: a suite a group; what could not run is an error, what has no meaning skipped."""
    root = ET.Element("testsuites", name="verify", **_counts(found["checks"]))
    for group, checks in groups(found["checks"]).items():
        about = {"name": group, "timestamp": found["at"], **_counts(checks)}
        suite = ET.SubElement(root, "testsuite", about)
        for check in checks:
            _case(suite, group, check)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def groups(checks: list[dict]) -> dict[str, list[dict]]:
    """The checks by group, what people use first."""
    by_group: dict[str, list[dict]] = {}
    for check in checks:
        by_group.setdefault(check["group"], []).append(check)
    known = [name for name in GROUPS if name in by_group]
    others = [name for name in by_group if name not in GROUPS]
    return {name: by_group[name] for name in known + others}


def _counts(checks: list[dict]) -> dict[str, str]:
    statuses = [check["status"] for check in checks]
    return {
        "tests": str(len(checks)),
        "failures": str(statuses.count(FAILED)),
        "errors": str(statuses.count(UNKNOWN)),
        "skipped": str(statuses.count(NOT_APPLICABLE)),
        "time": f"{sum(check.get('milliseconds') or 0 for check in checks) / 1000:.3f}",
    }


def _case(suite: ET.Element, group: str, check: dict) -> None:
    took = f"{(check.get('milliseconds') or 0) / 1000:.3f}"
    about = {"classname": f"verify.{group}", "name": check["name"], "time": took}
    case = ET.SubElement(suite, "testcase", about)
    found = printable(check["found"])
    told = f"found: {found}\nexpected: {printable(check['expected'])}\ndo: {check['action']}"
    kind = {FAILED: "failure", UNKNOWN: "error", NOT_APPLICABLE: "skipped"}.get(check["status"])
    if kind:
        ET.SubElement(case, kind, message=found[:300]).text = told
    else:
        ET.SubElement(case, "system-out").text = told if check["status"] == WARNING else found


def page(found: dict) -> str:
    """The report for people."""
    verdict = _verdict(found)
    sections = "".join(_section(*group) for group in groups(found["checks"]).items())
    trouble = [c for c in found["checks"] if c["status"] in (FAILED, UNKNOWN, WARNING)]
    trouble.sort(key=lambda check: -ORDER.index(check["status"]))
    notices = attention("Needs attention", [_notice(check) for check in trouble])
    tiles = "".join(_tile(status, found[status]) for status in reversed(ORDER))
    return Page(
        title=verdict["title"],
        where=found["platform"],
        when=_when(found),
        tone=verdict["tone"],
        body=f'<ul class="tiles">{tiles}</ul>\n{notices}{sections}',
        footer="intranet.mcp · the same results are in verify.json and verify.xml",
        style=_STYLE,
    ).render()


def _verdict(found: dict) -> dict[str, str]:
    if found[FAILED]:
        return {"tone": "bad", "title": count(found[FAILED], "check") + " failed"}
    if found[UNKNOWN]:
        return {"tone": "unsure", "title": count(found[UNKNOWN], "check") + " could not run"}
    return {"tone": "good", "title": "Everything works"}


def _when(found: dict) -> str:
    at = found["at"].replace("T", " ").replace("+00:00", " UTC")
    took = f", took {found['seconds']:.0f} s" if found.get("seconds") else ""
    return f"{count(len(found['checks']), 'check')} on {at}{took}"


def _tile(status: str, count: int) -> str:
    shown = f"{status} none" if not count else status
    return f'<li class="{shown}"><b>{count}</b> {WORDS[status]}</li>'


def _notice(check: dict) -> Notice:
    about = {"found": check["found"], "expected": check["expected"], "do": check["action"]}
    return Notice(check["status"], WORDS[check["status"]], check["name"], about)


def _section(name: str, checks: list[dict]) -> str:
    longest = max((check.get("milliseconds") or 0 for check in checks), default=0)
    rows = "".join(_row(check, longest) for check in checks)
    good = sum(check["status"] in (PASSED, NOT_APPLICABLE) for check in checks)
    return (
        f"<section><h2>{escaped(name)} <small>{good} of {len(checks)}</small></h2><table>"
        '<thead><tr><th scope="col">Check</th><th scope="col">Found</th>'
        f'<th scope="col" class="took">Took</th></tr></thead><tbody>{rows}</tbody></table>'
        "</section>\n"
    )


def _row(check: dict, longest: float) -> str:
    took, first = milliseconds(check), check.get("first_ms")
    length = ""
    if took and longest:
        share = max(2, round(100 * check["milliseconds"] / longest))
        length = f'<i style="width:{share}%"></i>'
    early = f"<small>first piece {first:.0f} ms</small>" if first else ""
    word = WORDS[check["status"]]
    return (
        f'<tr><th scope="row"><div><span class="chip {check["status"]}">{word}</span>'
        f"<span>{escaped(check['name'])}</span></div></th>"
        f"<td>{escaped(cut(check['found'], 160 if check['status'] == PASSED else 600))}</td>"
        f'<td class="took"><span>{took}</span>{early}{length}</td></tr>'
    )


# What this page adds to the common style.
_STYLE = """
.tiles{display:flex;flex-wrap:wrap;gap:8px;margin:22px 0;padding:0;list-style:none}
.tiles li{padding:5px 14px;border-radius:999px}
.tiles b{font-size:17px;font-variant-numeric:tabular-nums}
.not_applicable,.tiles .none{color:var(--soft);background:var(--none-bg)}
thead th:first-child{width:44%}thead .took{width:168px}
th div{display:flex;gap:10px;align-items:baseline}
.took{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td.took span{color:var(--ink)}
.took small{display:block;font-size:12px}
.took i{display:block;height:3px;margin:4px 0 0 auto;border-radius:2px;background:var(--bar)}
@media(max-width:640px){
.tiles{margin:16px 0}
thead{display:none}
tr{display:block;padding:9px 14px}
th,td{display:block;padding:1px 0}
td:not(.took){max-height:6em;overflow:hidden;font-size:14px}
td.took{text-align:left;font-size:13px}
td.took:not(:has(span:not(:empty))){display:none}
.took small{display:inline;margin-left:8px}.took i{margin:2px 0 0}}
"""
