# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes import labels


def test_objects_are_selected_by_all_their_labels():
    given = {**labels.PART_OF, **labels.MANAGED_BY}
    part, manager = "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by"
    assert labels.selector(given) == f"{part}=intranet-mcp,{manager}=intranet.mcp"
    assert labels.selector({"a": "1", "b": "2"}, "!=") == "a!=1,b!=2"
