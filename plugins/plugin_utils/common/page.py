# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Pages that need nothing else: no network, no script; light, dark, phone or paper. Pure."""

from __future__ import annotations

import html
from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """What a page says. tone: good, bad or unsure; body and style are HTML and CSS."""

    title: str
    where: str
    when: str
    tone: str
    body: str
    footer: str
    style: str

    def render(self) -> str:
        """The whole document."""
        return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(self.title)} · {escaped(self.where)}</title>
<style>{STYLE}{self.style}</style>
</head>
<body>
<header class="{self.tone}">
<p class="where">{escaped(self.where)}</p>
<h1>{escaped(self.title)}</h1>
<p class="when">{escaped(self.when)}</p>
</header>
<main>
{self.body}</main>
<footer>{escaped(self.footer)}</footer>
</body>
</html>
"""


@dataclass(frozen=True)
class Notice:
    """What somebody has to see to. tone: failed, unknown or warning; about: term -> text."""

    tone: str
    word: str
    title: str
    about: dict[str, str]


def attention(title: str, notices: list[Notice]) -> str:
    """A section of notices; nothing where there is none."""
    if not notices:
        return ""
    items = "".join(_item(notice) for notice in notices)
    return f'<section class="attention"><h2>{escaped(title)}</h2><ul>{items}</ul></section>\n'


def _item(notice: Notice) -> str:
    terms = "".join(
        f"<dt>{escaped(term)}</dt><dd>{escaped(text)}</dd>" for term, text in notice.about.items()
    )
    chip = f'<span class="chip {notice.tone}">{escaped(notice.word)}</span>'
    return f"<li>{chip}<h3>{escaped(notice.title)}</h3><dl>{terms}</dl></li>"


def escaped(text: object) -> str:
    """A text as HTML shows it, whatever it holds."""
    return html.escape(cut(printable(str(text)), 1200))


def printable(text: str) -> str:
    """XML cannot hold control characters, which answers of models and tools may."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


# Colours pass WCAG AA on their grounds in both schemes; a status is always a word, too.
STYLE = """
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
section{margin:0 0 18px;background:var(--card);border:1px solid var(--line);border-radius:12px;
overflow:hidden}
table{width:100%;border-collapse:collapse;table-layout:fixed}
tr{border-top:1px solid var(--line)}
th,td{padding:8px 16px;text-align:left;vertical-align:baseline;overflow-wrap:anywhere}
thead th{color:var(--soft);font-size:12px;font-weight:600;letter-spacing:.04em;
text-transform:uppercase}
tbody th{font-weight:500}
td{color:var(--soft)}
.chip{flex:none;min-width:66px;padding:1px 8px;border-radius:6px;font-size:12px;font-weight:600;
text-align:center}
.passed{color:var(--good);background:var(--good-bg)}.failed{color:var(--bad);background:var(--bad-bg)}
.unknown,.warning{color:var(--unsure);background:var(--unsure-bg)}
.attention ul{margin:0;padding:0;list-style:none}
.attention li{display:grid;grid-template-columns:auto 1fr;gap:4px 12px;padding:12px 16px;
border-top:1px solid var(--line);align-items:baseline}
.attention dl{grid-column:2;display:grid;grid-template-columns:auto 1fr;gap:2px 12px;margin:0}
.attention dt{color:var(--soft)}.attention dd{margin:0;overflow-wrap:anywhere}
footer{padding:6px 20px 36px;color:var(--soft);font-size:13px}
@media(max-width:640px){
header,main,footer{padding-left:12px;padding-right:12px}header{margin:16px 12px 0}h1{font-size:25px}
.attention li{grid-template-columns:1fr}.attention .chip{justify-self:start}
.attention dl{grid-column:1;grid-template-columns:1fr;gap:0;font-size:14px}
.attention dt{margin-top:4px;font-size:12px}}
@media print{body{background:#fff}section{break-inside:avoid}}
"""
