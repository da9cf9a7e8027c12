# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Two states of an object: what differs, without what the cluster keeps and without secrets."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.compare import (
    HIDDEN,
    HIDDEN_CHANGED,
    difference,
    own,
)


def secret(**data):
    return {"kind": "Secret", "metadata": {"name": "s"}, "data": data}


def test_what_the_cluster_keeps_is_no_difference():
    kept = {"uid": "1", "resourceVersion": "7", "annotations": {}}
    before = {"kind": "Service", "metadata": {"name": "a", **kept}, "status": {"x": 1}}
    assert own(before) == {"kind": "Service", "metadata": {"name": "a"}}
    assert difference(before, {"kind": "Service", "metadata": {"name": "a"}}) == ({}, {})


def test_only_what_differs_is_told():
    before = {"kind": "Job", "spec": {"a": 1, "b": 2, "gone": 3}}
    after = {"kind": "Job", "spec": {"a": 1, "b": 5, "new": 4}}
    assert difference(before, after) == (
        {"spec": {"b": 2, "gone": 3}},
        {"spec": {"b": 5, "new": 4}},
    )


def test_a_changed_secret_is_told_without_its_values():
    told = difference(secret(a="old", b="same"), secret(a="new", b="same"))
    assert told == ({"data": {"a": HIDDEN}}, {"data": {"a": HIDDEN_CHANGED}})
    assert "new" not in str(difference(None, secret(a="new")))


def test_a_comparison_changes_neither_state():
    before = {"kind": "Job", "metadata": {"uid": "1"}}
    difference(before, {"kind": "Job"})
    assert before == {"kind": "Job", "metadata": {"uid": "1"}}
