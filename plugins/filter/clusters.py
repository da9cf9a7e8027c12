# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.cluster import decisions
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.filters import guarded


class FilterModule:
    def filters(self):
        return guarded(
            {
                "member_order": decisions.order,
                "members_there": decisions.there,
                "etcd_departed": decisions.etcd_departed,
            }
        )
