# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import html.parser
import re
import xml.etree.ElementTree as ET

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    FAILED,
    NOT_APPLICABLE,
    PASSED,
    UNKNOWN,
    Finding,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import (
    verify_files,
    verify_report,
)

STATUSES = (PASSED, FAILED, UNKNOWN, NOT_APPLICABLE)
ABOUT = {"platform": "local", "at": "2026-01-01T00:00:00+00:00", "seconds": 12.4}
NASTY = 'a <b>"bold"</b> & \x1b[31mred\x00 </script>'


def report(*statuses, found="x"):
    checks = [
        Finding(f"check {status}", found, "y", "z", "", "", status, 12.5, 3.0).as_row()
        for status in statuses
    ]
    checks = [{"group": "Keys", **check} for check in checks]
    return verify_report.report({"here": {"checks": checks}}, ABOUT, advisory=["*warned"])


def test_junit_tells_failures_errors_and_skips_apart():
    root = ET.fromstring(verify_files.junit(report(*STATUSES)))
    (suite,) = root
    assert suite.attrib["name"] == "Keys"
    counts = {name: root.attrib[name] for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    kinds = {case.attrib["name"]: case[0].tag for case in suite}
    assert kinds["check failed"] == "failure" and kinds["check unknown"] == "error"
    assert kinds["check not_applicable"] == "skipped" and kinds["check passed"] == "system-out"
    assert "do: z" in suite.find("testcase/failure").text
    assert float(suite[0].attrib["time"]) == pytest.approx(0.013, abs=0.001)


def test_junit_stays_xml_whatever_an_answer_holds():
    root = ET.fromstring(verify_files.junit(report("failed", found=NASTY)))
    assert "<b>" in root.find(".//failure").attrib["message"]


class Page(html.parser.HTMLParser):
    """Collects tags and text, and notices what does not close."""

    void = {"meta", "link", "br", "img", "input"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_is_whole_and_needs_nothing_else():
    text = verify_files.page(report(*STATUSES))
    page = Page(text)
    tags = {tag for tag, _attributes in page.tags}
    assert not tags & {"script", "link", "img", "iframe"}
    assert not re.search(r"url\(|@import|https?://|src=", text)
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in (
        page.tags
    )
    assert "prefers-color-scheme:dark" in text


def test_the_page_shows_every_check_and_first_of_all_what_needs_attention():
    page = Page(verify_files.page(report("passed", "failed", "unknown")))
    text = " ".join(page.texts)
    assert "Needs attention" in text and "12 ms" in text and "first piece 3 ms" in text
    for status in ("passed", "failed", "unknown"):
        assert f"check {status}" in page.texts
    assert page.texts.index("check failed") < page.texts.index("check unknown")


def test_answers_of_models_and_tools_cannot_become_markup():
    text = verify_files.page(report("passed", found=NASTY))
    assert "<b>&quot;" not in text and "&lt;b&gt;" in text
    assert "\x1b" not in text and "\x00" not in text
    Page(text)


@pytest.mark.parametrize(
    ("statuses", "title"),
    [
        (["passed", "not_applicable"], "Everything works"),
        (["passed", "unknown"], "1 check could not run"),
        (["failed", "failed", "unknown"], "2 checks failed"),
    ],
)
def test_the_headline_is_the_verdict(statuses, title):
    assert f"<h1>{title}</h1>" in verify_files.page(report(*statuses))


def test_what_people_use_comes_first_and_no_group_is_lost():
    checks = [{"group": name, "name": name} for name in ("Hosts", "Mine", "Services")]
    assert list(verify_files.groups(checks)) == ["Services", "Hosts", "Mine"]
