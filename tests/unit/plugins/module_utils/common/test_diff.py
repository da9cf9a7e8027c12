# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.common.diff import Difference


def test_only_what_differs_is_in_the_diff():
    difference = Difference()
    assert not difference.compare("same", [1], [1])
    assert difference.is_empty
    assert difference.compare("limit", None, 5)
    assert not difference.is_empty and difference.fields == ["limit"]
    assert difference.as_diff() == {"before": {"limit": None}, "after": {"limit": 5}}


def test_secrets_differ_without_being_shown():
    difference = Difference()
    difference.compare("key", "old-secret", "new-secret", secret=True)
    shown = repr(difference.as_diff()) + repr(difference)
    assert "old-secret" not in shown and "new-secret" not in shown
    assert not difference.is_empty
