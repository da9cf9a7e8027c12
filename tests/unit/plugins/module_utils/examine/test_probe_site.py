# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Another site that would not answer is a warning, which says what to do."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import probes
from support import FakeService

KEY = "sk-other-sites"
LISTED = ("GET", "/v1/models")


@pytest.fixture
def site():
    fake = FakeService()
    yield fake
    fake.close()


def ask(url, *models):
    options = {"site": "north", "url": url, "key": "site-north", "models": [*models]}
    probe = {"name": "site north", "kind": "site", "group": "Models", "options": options}
    (row,) = probes.run_all([probes.check(probe, {"site-north": KEY})])
    return row


def models(*names):
    return 200, {"data": [{"id": name} for name in names]}


def test_a_site_that_has_the_models_is_well_and_is_shown_its_key(site):
    site.replies[LISTED] = models("coder:1", "large", "more")
    assert ask(site.url, "coder:1", "large")["status"] == "passed"
    (exchange,) = site.exchanges
    assert exchange.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("reply", "found", "action"),
    [
        ((401, {}), "refuses the key (HTTP 401)", "same secret key-other-sites"),
        ((403, {}), "refuses the key (HTTP 403)", "same secret key-other-sites"),
        (models("large"), "has no coder:1", "models of litellm_sites"),
        ((502, b"<html>"), "answers HTTP 502", "correct url"),
        ((200, b"<html>"), "answers HTTP 200", "correct url"),
        ((200, {"data": "none"}), "answers HTTP 200", "correct url"),
    ],
)
def test_what_is_wrong_with_it_is_a_warning(site, reply, found, action):
    site.replies[LISTED] = reply
    row = ask(site.url, "coder:1", "large")
    assert row["status"] == "warning"
    assert found in row["found"] and action in row["action"]
    assert KEY not in str(row)


def test_a_site_that_is_away_is_a_warning():
    row = ask("http://127.0.0.1:9", "coder:1")
    assert row["status"] == "warning"
    assert "the site north" in row["found"] and "platform_ca_bundle" in row["action"]
