# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where the API has an object, and what is applied before what."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes import kinds


def an_object(kind, version, name="a", **metadata):
    return {"kind": kind, "apiVersion": version, "metadata": {"name": name, **metadata}}


@pytest.mark.parametrize(
    ("found", "path"),
    [
        (an_object("Namespace", "v1"), "/api/v1/namespaces/a"),
        (
            an_object("Deployment", "apps/v1", namespace="mcp"),
            "/apis/apps/v1/namespaces/mcp/deployments/a",
        ),
        (an_object("Secret", "v1", "a/b", namespace="mcp"), "/api/v1/namespaces/mcp/secrets/a/b"),
    ],
)
def test_core_kinds_and_those_of_groups_have_paths_of_their_own(found, path):
    assert kinds.path(found) == path


@pytest.mark.parametrize(
    "found",
    [
        an_object("DaemonSet", "apps/v1", namespace="mcp"),
        an_object("Deployment", "apps/v1beta1", namespace="mcp"),
        an_object("Deployment", "apps/v1", "", namespace="mcp"),
        an_object("Deployment", "apps/v1"),
        {},
    ],
)
def test_an_object_that_has_no_place_is_refused(found):
    with pytest.raises(Refused):
        kinds.path(found)


def test_what_pods_need_is_there_before_them():
    made = [
        an_object(kind, "v1") for kind in ("Deployment", "Secret", "NetworkPolicy", "Namespace")
    ]
    ordered = [found["kind"] for found in sorted(made, key=kinds.place_of)]
    assert ordered == ["Namespace", "NetworkPolicy", "Secret", "Deployment"]
