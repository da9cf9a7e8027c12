# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The first process of a cluster without machines: `control_plane.py STATE KUBE KWOK`.

Started by simulation.py. API server, controllers and scheduler are real; kwok answers for all nodes
and pods, and metrics-server reads from it what pods are said to use. As in a cluster with a machine
(../enterprise/node.py), all of it ends with this process, which ends when one of its programs does.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "enterprise"))

import node

# kwok says when it last saw each node; a machine that has other work is slow to.
LEASE_SECONDS, NODE_IS_LOST_SECONDS = 240, 480
KUBELETS_PORT = 10247
# What stands still for so long is not scaled down yet: five minutes in a cluster with load.
STEADY_SECONDS = 30


def main(state: Path, kube: Path, kwok: Path) -> None:
    """Start everything in order, then stay until something ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    node.mount(state)
    for words in ("link set lo up", f"address add {node.ADDRESS}/32 dev lo"):
        subprocess.run(["ip", *words.split()], check=True)
    controllers = node.controllers_and_scheduler(
        state,
        kube,
        node_monitor_grace_period=f"{NODE_IS_LOST_SECONDS}s",
        horizontal_pod_autoscaler_downscale_stabilization=f"{STEADY_SECONDS}s",
    )
    nodes = {"kwok": _kwok(state, kwok), "metrics-server": _metrics(state, kube)}
    node.run(state, node.store_and_server(state, kube), {**controllers, **nodes})


def _kwok(state: Path, kwok: Path) -> list[str]:
    flags = {
        "config": state / "etc" / "kwok.yaml",
        "kubeconfig": state / "pki" / "admin.kubeconfig",
        "manage-all-nodes": "true",
        "cidr": node.PODS,
        "node-ip": node.ADDRESS,
        "node-port": KUBELETS_PORT,
        "v": "ERROR",  # not each of its looks at a node
        "node-lease-duration-seconds": LEASE_SECONDS,
        "tls-cert-file": state / "pki" / "server.crt",
        "tls-private-key-file": state / "pki" / "server.key",
    }
    return [str(kwok), *(f"--{name}={value}" for name, value in flags.items())]


def _metrics(state: Path, kube: Path) -> list[str]:
    flags = {
        **node.access(state / "pki", "admin"),
        "cert-dir": "/run/metrics",
        "secure-port": 4443,
        "kubelet-certificate-authority": state / "pki" / "ca.crt",
        "kubelet-preferred-address-types": "InternalIP",
        "kubelet-use-node-status-port": True,
        "metric-resolution": "60s",
    }
    return node.command(kube, "metrics-server", flags)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
