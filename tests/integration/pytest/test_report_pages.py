# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Pages of verify and status as a browser shows them: on phone and desk, in light and in the dark.

Pictures are left in .cache/pictures, for people to view.
"""

from __future__ import annotations

import html
import re

import chromium
import measured_day
import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import (
    verify_files,
    verify_report,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import status, status_page
from conftest import CACHE

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not chromium.program(), reason=chromium.MISSING),
]

ABOUT = {"platform": "local", "at": "2026-01-01T00:00:00+00:00", "seconds": 41.0}
LONG = "POST_/v1beta/models/a-very-long-name:generateContent_answered_" * 6


def row(check, status, found, expected="", action="", milliseconds=None, first_ms=None):
    """Return a row of the report."""
    about = Finding(check, found, expected, action, "", "", status, milliseconds, first_ms)
    return about.as_row()


CHECKS = [
    ("Services", row("gateway is alive", "passed", "HTTP 200", milliseconds=4.0)),
    ("Models", row("llm qwen3:8b stream", "passed", "'Hello'", milliseconds=900.0, first_ms=80.0)),
    ("Models", row("llm qwen3:8b gemini", "failed", LONG, "200", "read the log", 12345.0)),
    ("Hosts", row("drift llm1", "failed", "redis: image changed", "nothing", "run site.yml")),
    ("Hosts", row("ports users reach llm1", "unknown", "no root", "open: 4000", "run it as root")),
    ("Keys", row("llm key of another team", "not_applicable", "no team has restrictions")),
]
# What the page cannot tell without a script: whether anything is wider than the window.
MEASURE = """<script>addEventListener("load", () => {
const wide = [...document.querySelectorAll("body *")].filter(
  e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className || e.tagName);
document.body.dataset.told = JSON.stringify({width: innerWidth, wide,
  scrolls: document.documentElement.scrollWidth > innerWidth,
  ground: getComputedStyle(document.body).backgroundColor});
})</script>"""


def verify_page():
    checks = [{"group": group, **check} for group, check in CHECKS]
    found = verify_report.report({"llm1": {"checks": checks}}, ABOUT, advisory=["drift *"])
    return verify_files.page(found)


def measured_page():
    measured = measured_day.measured()
    measured["answers"]["tools.0"][0]["labels"]["tool"] = LONG
    measured["answers"]["cpu.0"][0]["labels"]["host"] = LONG
    return status_page.page(status.report(measured, "local", measured_day.HOURS))


PAGES = {"verify": verify_page, "status": measured_page}
GROUNDS = {"light": "rgb(246, 247, 249)", "dark": "rgb(18, 22, 28)"}


@pytest.mark.parametrize("scheme", GROUNDS)
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_window(name, tmp_path, width, scheme):
    page = PAGES[name]()
    measured = tmp_path / "measured.html"
    # Headless windows are never narrower than 500 pixels, frames are.
    framed = html.escape(page.replace("</body>", MEASURE + "</body>"))
    teller = """<script>addEventListener("load", () => setTimeout(() => {
      document.title = frames[0].document.body.dataset.told; }, 0))</script>"""
    measured.write_text(
        f'<!DOCTYPE html><meta name="color-scheme" content="light dark"><title>?</title>'
        f'<iframe width="{width}" height="900" srcdoc="{framed}"></iframe>{teller}'
    )
    plain = tmp_path / f"{name}.html"
    plain.write_text(page)
    option = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    dom = chromium.show(measured.as_uri(), option, "--window-size=1400,1000", "--dump-dom")
    told = html.unescape(re.search(r"<title>(.*?)</title>", dom)[1])
    assert '"scrolls":false' in told and '"wide":[]' in told, told
    assert GROUNDS[scheme] in told, told

    picture = CACHE / "pictures" / f"{name}-{width}-{scheme}.png"
    chromium.picture(plain.as_uri(), picture, width, 1400, option)
    assert picture.read_bytes()[:4] == b"\x89PNG"
