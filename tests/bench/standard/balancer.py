# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the load balancer adds to a call: the one address over TLS beside a replica itself.

    molecule converge -s standard
    python tests/bench/standard/balancer.py [--seconds 10] [--connections 1,16]

Runs in the network of the balancer's host, from where both can be reached; a tool call through the
gateway is what is asked, key check and policy included. Rows alternate, so that what else the
machine does falls on both.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests/bench/gateway"), str(ROOT / "molecule/standard")]

from hosts import APP1, INVENTORY, LB, addresses  # noqa: E402
from loadgen import Target, measure, open_sessions  # noqa: E402
from process import machine  # noqa: E402

SECRETS = INVENTORY / ".intranet-mcp/secrets"
ROUNDS = 3
INSIDE = "BENCH_IN_NETWORK_OF_BALANCER"


def enter_network() -> None:
    """Start again in the network namespace of the balancer's host."""
    inspect = ["docker", "inspect", "--format", "{{.State.Pid}}", LB]
    pid = subprocess.run(inspect, check=True, capture_output=True, text=True).stdout.strip()
    command = ["nsenter", "--net", "--target", pid, sys.executable, *sys.argv]
    os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})


async def compare(options: argparse.Namespace) -> None:
    """Measure both engines in turn and print the medians."""
    key = (SECRETS / "key-first-developer").read_text().strip()
    call = Target("", "example__count", key, says="characters")
    targets = {
        "a gateway itself": call._replace(url=f"http://{addresses()[APP1]}:8080/mcp"),
        "through the balancer": call._replace(
            url=f"https://{addresses()[LB]}:443/mcp",
            ca=str(SECRETS / "tls/ca.crt"),
        ),
    }
    print(machine())
    print(f"{'':22s} {'conns':>5s} {'calls/s':>8s} {'p50 ms':>7s} {'p99 ms':>7s}")
    for connections in options.connections:
        found: dict[str, list] = {name: [] for name in targets}
        for _round in range(ROUNDS):
            for name, target in targets.items():
                sessions = await open_sessions(target, connections)
                result = await measure(sessions, options.seconds / ROUNDS, warm_up=1)
                for session in sessions:
                    session.close()
                if result.errors:
                    sys.exit(f"{name}: {len(result.errors)} errors, the first: {result.errors[0]}")
                found[name].append(result)
        for name, results in found.items():
            rate = statistics.median(r.calls / r.seconds for r in results)
            middle = statistics.median(r.percentile(0.5) for r in results)
            tail = statistics.median(r.percentile(0.99) for r in results)
            print(f"{name:22s} {connections:5d} {rate:8.0f} {middle:7.2f} {tail:7.2f}")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument(
        "--connections", type=lambda text: [int(n) for n in text.split(",")], default=[1, 16]
    )
    options = parser.parse_args()
    if INSIDE not in os.environ:
        enter_network()
    asyncio.run(compare(options))


if __name__ == "__main__":
    main()
