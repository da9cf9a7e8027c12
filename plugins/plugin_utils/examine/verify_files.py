# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The report of verify as files: JUnit for a CI server, one HTML page for people. Pure."""

from __future__ import annotations

import html
import xml.etree.ElementTree as ET

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    FAILED,
    NOT_APPLICABLE,
    PASSED,
    UNKNOWN,
    WARNING,
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
    found = _printable(check["found"])
    told = f"found: {found}\nexpected: {_printable(check['expected'])}\ndo: {check['action']}"
    kind = {FAILED: "failure", UNKNOWN: "error", NOT_APPLICABLE: "skipped"}.get(check["status"])
    if kind:
        ET.SubElement(case, kind, message=found[:300]).text = told
    else:
        ET.SubElement(case, "system-out").text = told if check["status"] == WARNING else found


def _printable(text: str) -> str:
    """XML cannot hold control characters, which answers of models and tools may."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def page(found: dict) -> str:
    """One page that needs nothing else: no network, no script; light, dark, phone or paper."""
    verdict = _verdict(found)
    sections = "".join(_section(*group) for group in groups(found["checks"]).items())
    trouble = [c for c in found["checks"] if c["status"] in (FAILED, UNKNOWN, WARNING)]
    title = f"{verdict['title']} · {found['platform']}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_e(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header class="{verdict["tone"]}">
<p class="where">{_e(found["platform"])}</p>
<h1>{_e(verdict["title"])}</h1>
<p class="when">{_e(_when(found))}</p>
</header>
<main>
<ul class="tiles">{"".join(_tile(status, found[status]) for status in reversed(ORDER))}</ul>
{_attention(trouble)}{sections}</main>
<footer>intranet.mcp · the same results are in verify.json and verify.xml</footer>
</body>
</html>
"""


def _verdict(found: dict) -> dict[str, str]:
    if found[FAILED]:
        return {"tone": "bad", "title": _count(found[FAILED], "check") + " failed"}
    if found[UNKNOWN]:
        return {"tone": "unsure", "title": _count(found[UNKNOWN], "check") + " could not run"}
    return {"tone": "good", "title": "Everything works"}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _when(found: dict) -> str:
    at = found["at"].replace("T", " ").replace("+00:00", " UTC")
    took = f", took {found['seconds']:.0f} s" if found.get("seconds") else ""
    return f"{_count(len(found['checks']), 'check')} on {at}{took}"


def _tile(status: str, count: int) -> str:
    shown = f"{status} none" if not count else status
    return f'<li class="{shown}"><b>{count}</b> {WORDS[status]}</li>'


def _attention(checks: list[dict]) -> str:
    if not checks:
        return ""
    items = "".join(
        f'<li><span class="chip {c["status"]}">{WORDS[c["status"]]}</span><h3>{_e(c["name"])}</h3>'
        f"<dl><dt>found</dt><dd>{_e(c['found'])}</dd><dt>expected</dt><dd>{_e(c['expected'])}</dd>"
        f"<dt>do</dt><dd>{_e(c['action'])}</dd></dl></li>"
        for c in sorted(checks, key=lambda check: -ORDER.index(check["status"]))
    )
    return f'<section class="attention"><h2>Needs attention</h2><ul>{items}</ul></section>\n'


def _section(name: str, checks: list[dict]) -> str:
    longest = max((check.get("milliseconds") or 0 for check in checks), default=0)
    rows = "".join(_row(check, longest) for check in checks)
    good = sum(check["status"] in (PASSED, NOT_APPLICABLE) for check in checks)
    return (
        f"<section><h2>{_e(name)} <small>{good} of {len(checks)}</small></h2><table>"
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
        f"<span>{_e(check['name'])}</span></div></th>"
        f"<td>{_e(_cut(check['found'], 160 if check['status'] == PASSED else 600))}</td>"
        f'<td class="took"><span>{took}</span>{early}{length}</td></tr>'
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _e(text: str) -> str:
    return html.escape(_cut(_printable(str(text)), 1200))


# Colours pass WCAG AA on their grounds in both schemes; a status is always a word, too.
_STYLE = """
:root{--bg:#f6f7f9;--card:#fff;--ink:#1a1f27;--soft:#5a6472;--line:#e2e6eb;--bar:#c9d6ea;
--good:#17693a;--good-bg:#e3f4e9;--bad:#a31d1d;--bad-bg:#fbe6e6;--unsure:#7a4b00;
--unsure-bg:#fcefd6;--none-bg:#eef0f3}
@media(prefers-color-scheme:dark){:root{--bg:#12161c;--card:#1b2129;--ink:#e8ecf1;--soft:#a2adba;
--line:#2c3541;--bar:#33465f;--good:#7fdba0;--good-bg:#143222;--bad:#ff9d9d;--bad-bg:#401a1c;
--unsure:#ffcf7d;--unsure-bg:#3c2c0e;--none-bg:#262e38}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
header,main,footer{max-width:1080px;margin:0 auto;padding:0 20px}
header{margin-top:28px;padding-left:18px;border-left:6px solid}
header.good{border-color:var(--good)}header.bad{border-color:var(--bad)}
header.unsure{border-color:var(--unsure)}
header p{margin:0;color:var(--soft)}
h1{margin:2px 0;font-size:30px;line-height:1.2;letter-spacing:-.01em}
header.good h1{color:var(--good)}header.bad h1{color:var(--bad)}
header.unsure h1{color:var(--unsure)}
h2{margin:0;padding:14px 16px;font-size:17px}
h2 small{margin-left:6px;color:var(--soft);font-weight:400}
h3{margin:0;font-size:15px}
.tiles{display:flex;flex-wrap:wrap;gap:8px;margin:22px 0;padding:0;list-style:none}
.tiles li{padding:5px 14px;border-radius:999px}
.tiles b{font-size:17px;font-variant-numeric:tabular-nums}
.passed{color:var(--good);background:var(--good-bg)}.failed{color:var(--bad);background:var(--bad-bg)}
.unknown,.warning{color:var(--unsure);background:var(--unsure-bg)}
.not_applicable,.tiles .none{color:var(--soft);background:var(--none-bg)}
section{margin:0 0 18px;background:var(--card);border:1px solid var(--line);border-radius:12px;
overflow:hidden}
table{width:100%;border-collapse:collapse;table-layout:fixed}
tr{border-top:1px solid var(--line)}
th,td{padding:8px 16px;text-align:left;vertical-align:baseline;overflow-wrap:anywhere}
thead th{color:var(--soft);font-size:12px;font-weight:600;letter-spacing:.04em;
text-transform:uppercase}
thead th:first-child{width:44%}thead .took{width:168px}
th div{display:flex;gap:10px;align-items:baseline}
tbody th{font-weight:500}
td{color:var(--soft)}
.chip{flex:none;min-width:66px;padding:1px 8px;border-radius:6px;font-size:12px;font-weight:600;
text-align:center}
.took{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td.took span{color:var(--ink)}
.took small{display:block;font-size:12px}
.took i{display:block;height:3px;margin:4px 0 0 auto;border-radius:2px;background:var(--bar)}
.attention ul{margin:0;padding:0;list-style:none}
.attention li{display:grid;grid-template-columns:auto 1fr;gap:4px 12px;padding:12px 16px;
border-top:1px solid var(--line);align-items:baseline}
.attention dl{grid-column:2;display:grid;grid-template-columns:auto 1fr;gap:2px 12px;margin:0}
.attention dt{color:var(--soft)}.attention dd{margin:0;overflow-wrap:anywhere}
footer{padding:6px 20px 36px;color:var(--soft);font-size:13px}
@media(max-width:640px){
header,main,footer{padding-left:12px;padding-right:12px}header{margin:16px 12px 0}h1{font-size:25px}
.tiles{margin:16px 0}
thead{display:none}
tr{display:block;padding:9px 14px}
th,td{display:block;padding:1px 0}
td:not(.took){max-height:6em;overflow:hidden;font-size:14px}
td.took{text-align:left;font-size:13px}
td.took:not(:has(span:not(:empty))){display:none}
.took small{display:inline;margin-left:8px}.took i{margin:2px 0 0}
.attention li{grid-template-columns:1fr}.attention .chip{justify-self:start}
.attention dl{grid-column:1;grid-template-columns:1fr;gap:0;font-size:14px}
.attention dt{margin-top:4px;font-size:12px}}
@media print{body{background:#fff}section{break-inside:avoid}}
"""
