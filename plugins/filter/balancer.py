# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.module_utils import _haproxy_config, _haproxy_leaders
from ansible_collections.intranet.mcp.plugins.module_utils._inventory import is_address


def haproxy_config(pools, settings):
    """HAProxy's configuration for pools of servers."""
    try:
        return _haproxy_config.render(pools, settings)
    except _haproxy_config.BalancerError as error:
        raise AnsibleFilterError(str(error)) from error


def subject_alt_names(names):
    """Names and addresses as a certificate lists them."""
    return [f"{'IP' if is_address(name) else 'DNS'}:{name}" for name in names]


class FilterModule:
    def filters(self):
        return {
            "haproxy_config": haproxy_config,
            "haproxy_leaders": _haproxy_leaders.render,
            "subject_alt_names": subject_alt_names,
        }
