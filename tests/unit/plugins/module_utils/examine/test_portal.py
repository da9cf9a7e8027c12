# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import portal, probe_service

PROGRAM = Path(portal.__file__).parents[3] / "roles/portal/files/mcp_portal/src/mcp_portal"
HTTP = {"service": "the portal", "ca": "", "timeout": 5}
WELL = {"status": "ok"}


def failed(**problems):
    """What the portal says where parts fail, each with its key."""
    reasons = {part: f"{part} is broken" for part in problems}
    return {"status": "failed", **reasons, "problems": problems}


def test_portal_that_is_well_has_no_finding():
    assert not list(portal.judge("sign-on", WELL))


@pytest.mark.parametrize("key", portal.REMEDIES)
def test_every_broken_piece_has_its_cause_and_what_to_do(key):
    (finding,) = portal.judge("sign-on", failed(provider=key))
    assert finding.found == "people cannot sign in: provider is broken"
    assert finding.expected == portal.REMEDIES[key][0]
    assert finding.action == portal.REMEDIES[key][1]


def test_every_piece_is_told():
    told = failed(provider="client_refused", store="store_away", litellm="litellm_away")
    services = {finding.service for finding in portal.judge("sign-on", told)}
    assert services == {"portal", "redis", "litellm"}


def test_piece_of_a_newer_portal_is_told_too():
    (finding,) = portal.judge("sign-on", failed(quota="quota_used"))
    assert "quota is broken" in finding.found and finding.action


def test_remedies_are_those_of_what_the_portal_can_say():
    texts = (PROGRAM / "locale/en.yml").read_text()
    known = set(re.findall(r"^problem_(\w+):", texts, re.M))
    assert known >= portal.REMEDIES.keys()
    asked = "".join((PROGRAM / f"{name}.py").read_text() for name in ("signing", "checks"))
    assert set(re.findall(r'Problem\("(\w+)"', asked)) <= portal.REMEDIES.keys()


@pytest.mark.parametrize(
    ("reply", "status", "words"),
    [
        ((200, WELL), "passed", "everything"),
        ((200, failed(provider="other_issuer")), "failed", "provider is broken"),
        ((502, b"bad gateway"), "failed", "HTTP 502 bad gateway"),
        ((200, b"[]"), "failed", "HTTP 200"),
    ],
)
def test_verify_says_what_the_portal_says(service, reply, status, words):
    service.replies["GET", "/checks"] = reply
    (row,) = probe_service.sign_on("people can sign in", {**HTTP, "url": f"{service.url}/checks"})
    assert row.status == status and words in row.found
    assert bool(row.action) == (status == "failed")
