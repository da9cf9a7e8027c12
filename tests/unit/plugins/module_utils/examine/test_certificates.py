# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import certificates

NOW = 1_800_000_000.0
DAY = 86400


@pytest.mark.parametrize(
    ("days", "status", "words"),
    [
        (90, "passed", "certificate /c.pem expires in 90 days (2027-04-15)"),
        (21, "passed", "expires in 21 days"),
        (20.9, "failed", "expires in 20 days"),
        (1, "failed", "expires in 1 day ("),
        (0.5, "failed", "expires in less than a day"),
        (-3, "failed", "expired 3 days ago"),
    ],
)
def test_a_certificate_must_last_a_while(days, status, words):
    found = certificates.Certificate("/c.pem", NOW + days * DAY)
    judged = certificates.judge("certificate", found, NOW, 21)
    assert (judged.status, words in judged.found) == (status, True)


@pytest.mark.parametrize(
    ("text", "words"), [(None, "No such file"), ("no certificate", "holds no PEM certificate")]
)
def test_a_file_that_is_none_is_a_finding(tmp_path, text, words):
    path = tmp_path / "c.pem"
    if text is not None:
        path.write_text(text)
    found = certificates.read(str(path))
    judged = certificates.judge("certificate", found, NOW, 21)
    assert judged.is_failed and words in judged.found and str(path) in judged.found


def test_a_server_that_is_away_is_a_finding(closed_port):
    found = certificates.read(closed_port.replace("http", "https"))
    assert found.not_after is None and "refused" in found.error


def test_an_address_that_is_none_is_a_finding():
    assert certificates.read("https://host:port").error
