# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.pages import hidden, login
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable


def test_a_password_is_told_to_engines_as_hashes():
    found = login("correct horse battery staple")
    assert found["sha256"] == "c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a"
    assert found["htpasswd"] == "admin:{SHA}q/eq1kOINtvlJqojGr3i0O73TUI="
    assert "horse" not in str(found)


def test_a_password_that_could_be_guessed_is_refused_and_not_told():
    with pytest.raises(Unusable, match="found a password of 8 characters") as refused:
        login("hunter22")
    assert "hunter22" not in str(refused.value)


def test_only_a_page_with_a_login_of_its_own_hides_paths():
    page = {"path": "/p", "hidden": ["/metrics", "/health"]}
    assert hidden({**page, "has_login": True}) == ["/p/metrics", "/p/health"]
    assert hidden({**page, "has_login": False}) == []
