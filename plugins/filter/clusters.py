# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.module_utils import _clusters


def member_order(members, service):
    """Hosts in the order in which their members are brought in line."""
    try:
        return _clusters.order(members, service)
    except _clusters.ClusterError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self):
        return {
            "member_order": member_order,
            "members_there": _clusters.there,
            "etcd_strangers": _clusters.etcd_strangers,
        }
