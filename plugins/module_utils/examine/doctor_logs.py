# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules about logs: what waits on this host and goes nowhere. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.examine.doctor import Rule, of_service
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.examine.logs import RECEIVERS

CAUSES = {
    "log_shipper": "start it on the host of group monitoring; if it runs, look what filters "
    "between the two hosts, and read",
    "log_collector": "start the SIEM's listener, or correct logs_siem (host, port, ca, name); the "
    "reason is in",
}


def queues(facts, wanted):
    for service, receiver in RECEIVERS.items():
        found = of_service(facts, wanted, service, "log_queues")
        stuck = [queue for queue in found or () if queue.service == service and queue.is_stuck]
        if stuck:
            lines = sum(queue.lines for queue in stuck)
            mib = sum(queue.size for queue in stuck) / 2**20
            yield Finding(
                "logs",
                f"{lines} lines ({mib:.1f} MiB) wait for {receiver}, and do not become fewer",
                "queues that empty, before they reach logs_queue_mb",
                f"{CAUSES[service]} docker logs {wanted['container_prefix']}{service}",
                service=service,
            )


RULES: list[tuple[str, Rule]] = [("logs", queues)]
