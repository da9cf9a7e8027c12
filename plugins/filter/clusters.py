# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.plugin_utils.cluster import decisions


def member_order(members, service):
    """Hosts in the order in which their members are brought in line."""
    try:
        return decisions.order(members, service)
    except Unusable as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self):
        return {
            "member_order": member_order,
            "members_there": decisions.there,
            "etcd_departed": decisions.etcd_departed,
        }
