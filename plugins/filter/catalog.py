# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.filters import guarded
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology import services


class FilterModule:
    def filters(self):
        return guarded(
            {
                "catalog_images": services.images,
                "catalog_roles": services.roles,
            }
        )
