# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The report of `make status` as a page. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.page import (
    Notice,
    Page,
    attention,
    count,
    escaped,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import plot
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panel import STATES, TABLE
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.rule import CRITICAL
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.units import text


def page(found: dict) -> str:
    """One page of what was measured."""
    span = plot.Span(found["began"], found["at"], found["step"])
    sections = "".join(_section(section, span) for section in found["sections"])
    tiles = "".join(_tile(tile) for tile in found["tiles"])
    notices = attention("Alerts", [_notice(alert) for alert in found["alerts"]])
    return Page(
        title=headline(found),
        where=found["platform"],
        when=when(found),
        tone=_tone(found),
        body=f'<ul class="numbers">{tiles}</ul>\n{notices}{sections}',
        footer="intranet.mcp · times are UTC · out of Prometheus, which keeps more",
        style=_STYLE,
    ).render()


def headline(found: dict) -> str:
    """The verdict."""
    number = len(found["alerts"])
    if number or found["is_watched"]:
        return f"{count(number, 'alert')} firing" if number else "No alert is firing"
    return "No alert rule was evaluated yet"


def when(found: dict) -> str:
    """Which time it is about."""
    ended = datetime.fromtimestamp(found["at"], UTC)
    about = f"{count(found['hours'], 'hour')} until {ended:%Y-%m-%d %H:%M} UTC"
    since = found["since"]
    return f"{about}, measured since {plot.moment(since)}" if since else about


def _tone(found: dict) -> str:
    severities = {alert["severity"] for alert in found["alerts"]}
    is_unsure = severities or not found["is_watched"]
    return "bad" if CRITICAL in severities else "unsure" if is_unsure else "good"


def _tile(tile: dict) -> str:
    return f"<li><b>{text(tile['value'], tile['unit'])}</b> {escaped(tile['title'])}</li>"


def _notice(alert: dict) -> Notice:
    tone = "failed" if alert["severity"] == CRITICAL else "warning"
    since = alert["since"][:16].replace("T", " ") + " UTC"
    about = {"means": alert["description"], "do": alert["runbook"], "since": since}
    return Notice(tone, alert["severity"], alert["summary"], about)


def _section(section: dict, span: plot.Span) -> str:
    panels = "".join(_panel(panel, section["title"], span) for panel in section["panels"])
    head = f"<h2>{escaped(section['title'])}</h2>"
    return f'<section>{head}<div class="panels">{panels}</div></section>\n'


def _panel(panel: dict, section: str, span: plot.Span) -> str:
    kind = panel["kind"]
    shown = {TABLE: _table, STATES: plot.states}.get(kind, plot.lines)(panel, span)
    title = "" if panel["title"] == section else escaped(panel["title"])
    about = f" <small>{escaped(panel['about'])}</small>" if panel["about"] else ""
    head = f"<h3>{title}{about}</h3>" if title or about else ""
    wide = "" if kind not in (TABLE, STATES) else " wide"
    return f'<div class="panel{wide}">{head}{shown}</div>'


def _table(panel: dict, _span: plot.Span) -> str:
    heads = "".join(f'<th scope="col">{escaped(c["title"])}</th>' for c in panel["columns"])
    rows = "".join(_row(row, panel) for row in panel["rows"])
    more = f'<p class="more">and {panel["left_out"]} more</p>' if panel["left_out"] else ""
    return (
        f'<table class="numbered"><thead><tr><th scope="col"></th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>{more}"
    )


def _row(row: dict, panel: dict) -> str:
    units = [column["unit"] for column in panel["columns"]]
    cells = "".join(
        f"<td>{text(value, unit)}</td>" for value, unit in zip(row["values"], units, strict=True)
    )
    most = max((other["values"][0] for other in panel["rows"]), default=0)
    share = 100 * row["values"][0] / most if most else 0
    length = f'<i style="width:{max(share, 1):.0f}%"></i>' if most else ""
    return f'<tr><th scope="row">{escaped(row["name"])}{length}</th>{cells}</tr>'


# What this page adds to the common style. c1 and so on are the lines of a plot.
_STYLE = """
:root{--c1:#2563c9;--c2:#c2570c;--c3:#15803d;--c4:#7e3fbf;--c5:#c0266b;--c6:#0f7c8a;--c7:#85641a;
--c8:#5a6472;--rule:#d5dae1}
@media(prefers-color-scheme:dark){:root{--c1:#79aefc;--c2:#ffab5e;--c3:#6fd98f;--c4:#c9a2ff;
--c5:#ff8fc0;--c6:#5fd6e3;--c7:#e0c070;--c8:#a2adba;--rule:#35404d}}
.numbers{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:10px;
margin:22px 0;padding:0;list-style:none}
.numbers li{padding:10px 16px;background:var(--card);border:1px solid var(--line);
border-radius:12px;color:var(--soft);font-size:13px}
.numbers b{display:block;color:var(--ink);font-size:24px;font-weight:600;line-height:1.25;
font-variant-numeric:tabular-nums}
.panels{display:flex;flex-wrap:wrap;gap:18px 26px;padding:2px 16px 18px}
.panel{flex:1 1 300px;min-width:0}.wide{flex-basis:100%}
.panel h3{margin-bottom:8px;font-size:13px;font-weight:600}
.panel h3 small{margin-left:4px;color:var(--soft);font-weight:400}
.panel h3 small:first-child{margin-left:0}
.plot{display:grid;grid-template-columns:auto 1fr;gap:0 8px}
.ys{display:flex;flex-direction:column;justify-content:space-between;margin:-7px 0;height:144px;
color:var(--soft);font-size:11px;line-height:14px;text-align:right;
font-variant-numeric:tabular-nums;min-width:44px}
.plot svg{width:100%;height:130px;overflow:visible}
.xs{position:relative;grid-column:2;height:18px;color:var(--soft);font-size:11px;
font-variant-numeric:tabular-nums}
.xs span{position:absolute;transform:translateX(-50%);padding-top:3px}
.xs span:last-child{max-width:3em}
path{fill:none;vector-effect:non-scaling-stroke}
.rule{stroke:var(--rule);stroke-width:1}
.line{stroke-width:1.7;stroke-linejoin:round;stroke-linecap:round}
.area{fill:var(--c1);opacity:.13}
.c1{stroke:var(--c1);background:var(--c1)}.c2{stroke:var(--c2);background:var(--c2)}
.c3{stroke:var(--c3);background:var(--c3)}.c4{stroke:var(--c4);background:var(--c4)}
.c5{stroke:var(--c5);background:var(--c5)}.c6{stroke:var(--c6);background:var(--c6)}
.c7{stroke:var(--c7);background:var(--c7)}.c8{stroke:var(--c8);background:var(--c8)}
.key{display:flex;flex-wrap:wrap;gap:2px 16px;margin:6px 0 0;padding:0;list-style:none;
font-size:12px}
.key li{overflow-wrap:anywhere}
.key i{display:inline-block;width:14px;height:3px;margin-right:6px;border-radius:2px;
vertical-align:middle}
.key b{font-weight:600}.key small,.more{color:var(--soft);font-size:12px}
.more{margin:6px 0 0}
.strips{margin:0;padding:0;list-style:none}
.strips li{display:grid;grid-template-columns:minmax(0,200px) 96px 1fr 62px;gap:12px;
align-items:center;padding:4px 0;font-size:13px}
.strips .name{overflow-wrap:anywhere}.strips svg{width:100%;height:14px;border-radius:3px}
.strips .chip{white-space:nowrap}
.strips .share{color:var(--soft);text-align:right;font-variant-numeric:tabular-nums}
.chip.none{color:var(--soft);background:var(--none-bg)}
.bare{fill:var(--none-bg)}.up{fill:var(--good);opacity:.75}.down{fill:var(--bad)}
.off{fill:var(--bar)}
.numbered th,.numbered td{padding:6px 0 6px 14px;font-size:13px}
.numbered tbody tr:last-child{border-bottom:1px solid var(--line)}
.numbered th:first-child{padding-left:0;width:40%}
.numbered th:not(:first-child),.numbered td{text-align:right;
font-variant-numeric:tabular-nums;color:var(--ink);overflow-wrap:normal}
.numbered thead th:not(:first-child){color:var(--soft)}
.numbered tr:first-child{border-top:0}
.numbered tbody tr:first-child{border-top:1px solid var(--line)}
.numbered i{display:block;height:3px;margin-top:3px;border-radius:2px;background:var(--bar)}
@media(max-width:640px){
.numbers{grid-template-columns:1fr 1fr;margin:16px 0}.numbers b{font-size:20px}
.panels{padding:0 12px 14px}.panel{flex-basis:100%}
.panel h3 small{display:block;margin:0}
.numbered th,.numbered td{padding-left:6px;font-size:12px}
.numbered thead th{font-size:11px;letter-spacing:0;text-transform:none}
.numbered th:first-child{width:32%}
.strips li{grid-template-columns:1fr 96px 54px;gap:2px 8px}
.strips svg{grid-column:1/-1;grid-row:2}.strips .share{grid-column:3}}
"""
