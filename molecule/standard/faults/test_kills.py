# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A process that dies, a balancer that reloads: MCP calls, streams and chats go on.

A request that a killed process was working on cannot be saved; the table counts it as cut.
"""

from __future__ import annotations

import time

from actions import LITELLM_START_SECONDS, kill, wait_until_noticed, wait_until_whole
from hosts import APP1, APP2, BALANCER_RUN, LB, on
from load import row


def test_a_killed_gateway_costs_no_new_request(load, report):
    killed = kill(APP1, "intranet-gateway")
    # It is often back before two checks of the balancer have found it away.
    load.more(10)
    wait_until_whole()
    load.more(5)
    cost = row("kill -9 of a gateway", load, killed, cut_at=killed)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


def test_a_killed_litellm_costs_no_new_request(load, report):
    killed = kill(APP2, "intranet-litellm")
    wait_until_noticed()
    load.more(10)
    wait_until_whole(LITELLM_START_SECONDS)
    load.more(5)
    cost = row("kill -9 of a LiteLLM", load, killed, cut_at=killed)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


def test_a_balancer_that_reloads_costs_nothing(load, report):
    began = time.monotonic()
    program = (
        "import socket; s = socket.socket(socket.AF_UNIX); "
        f"s.connect('{BALANCER_RUN}/master.sock'); "
        "s.sendall(b'reload\\n'); print(s.makefile().read())"
    )
    for _ in range(3):
        assert "Success=1" in on(LB, f'python3 -c "{program}"')
        load.more(5)
    cost = row("reload of the balancer, three times", load, began)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]
