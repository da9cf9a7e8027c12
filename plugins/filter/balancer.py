# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import base64
import hashlib

from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.module_utils.balancer import (
    haproxy_config,
    pages,
    traefik_config,
)
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import (
    name_of,
    published_ports,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.balancer import (
    haproxy_leaders,
    keepalived_config,
    nginx_config,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.filters import guarded
from ansible_collections.intranet.mcp.plugins.plugin_utils.state import authority
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.inventory import is_address

# community.crypto makes the account's key with it; without ACME nobody needs it.
try:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
except ImportError:
    load_pem_private_key = None


def acme_thumbprint(pem: str) -> str:
    """The thumbprint of an ACME account's key (RFC 7638), a PEM of a P-256 key."""
    if load_pem_private_key is None:
        raise AnsibleFilterError(
            "found no Python package cryptography on the control node, expected it for an ACME "
            "account's key: install requirements.txt"
        )
    numbers = load_pem_private_key(pem.encode(), None).public_key().public_numbers()
    x, y = (_base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    jwk = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    return _base64url(hashlib.sha256(jwk.encode()).digest())


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def subject_alt_names(names: list[str]) -> list[str]:
    """Names and addresses as a certificate lists them."""
    return [f"{'IP' if is_address(name) else 'DNS'}:{name}" for name in names]


def balancer_is_due(engine: dict, names: list[str], ports: list[int]) -> bool:
    """Tell whether to start a balancer before the services behind it.

    engine: what docker_host_info found. names: the containers of a balancer. ports: what they
    publish; a service of this host that is about to leave one of them does so before the balancer's
    turn.
    """
    containers = {name_of(container): container for container in engine["containers"]}
    others = [container for name, container in containers.items() if name not in names]
    is_free = all(published_ports(container).isdisjoint(ports) for container in others)
    return is_free and not set(names) <= set(containers)


class FilterModule:
    def filters(self):
        return guarded(
            {
                "haproxy_config": haproxy_config.render,
                "acme_thumbprint": acme_thumbprint,
                "balancer_is_due": balancer_is_due,
                "traefik_config": traefik_config.render,
                "nginx_config": nginx_config.render,
                "pages_login": pages.login,
                "keepalived_config": keepalived_config.render,
                "haproxy_leaders": haproxy_leaders.render,
                "subject_alt_names": subject_alt_names,
                "name_constraints": authority.name_constraints,
                "names_beyond_authority": authority.names_beyond_authority,
            }
        )
