# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which engine of the load balancer runs on this host. The inventory may already name another."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.balancer.haproxy import HAProxy
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.replica import Balancer
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.traefik import Traefik
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unexpected
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import Engine, EngineError

# By the program that its container was started with.
ENGINES: dict[str, type[Balancer]] = {"haproxy": HAProxy, "traefik-start": Traefik}
OPTIONS = {
    "directory": {"type": "path", "required": True},
    "container": {"type": "str", "required": True},
}


def running(params: dict, engine: Engine | None = None) -> Balancer | None:
    """The balancer, or None where none runs: then nobody is sent anything either."""
    try:
        found = (engine or Engine()).json(f"/containers/{params['container']}/json")
    except EngineError:
        return None  # no container of that name, or no engine yet
    if not found["State"]["Running"]:
        return None
    program = (found["Config"]["Cmd"] or [""])[0]
    if program not in ENGINES:
        raise Unexpected(
            f"{params['container']} was started with {program!r}",
            " or ".join(ENGINES),
            "leave the command in load_balancer_service as the role has it",
        )
    balancer = ENGINES[program](params["directory"], params["container"])
    return balancer if balancer.is_there else None
