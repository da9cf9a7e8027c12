# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the configuration of every engine has: pools, names of servers, its place. Pure."""

from __future__ import annotations

import re

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable

HEAD = "# Written by the load_balancer role; changes here are overwritten.\n"
CERTIFICATE = "/secrets/tls.pem"
# Where no replica is ready, those that are alive are better than none: a LiteLLM without its
# database still knows the keys it has seen, a gateway without a required server has the others.
ALIVE = "_alive"


def pools_by_service(pools: list[dict]) -> dict[str, dict]:
    """The pools by name; LiteLLM's is there, because it gets what nobody else does."""
    by_service = {pool["service"]: pool for pool in pools}
    if "litellm" not in by_service:
        raise Unusable(
            "the load balancer has no litellm host to distribute to; expected at least one: put a "
            "host into group litellm, or empty the group load_balancer"
        )
    return by_service


def server_name(host: str) -> str:
    """An inventory's host name as engines take it."""
    return re.sub(r"[^A-Za-z0-9_.:-]", "_", host)
