# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The first process of a one-node cluster: `node.py STATE KUBE PLUGINS`, which cluster.py starts.

It has mounts, a network, process ids and a host name of its own. So nothing of the machine is
changed, the places where Kubernetes keeps things are the usual ones, and all of it ends with this
process. It ends when one of its programs does: a cluster that repairs itself would hide that.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NoReturn

NAME, DOMAIN = "node", "cluster.local"
ADDRESS, MACHINE = "10.89.0.2", "10.89.0.1"
PODS, SERVICES = "10.244.0.0/16", "10.96.0.0/16"
FIRST_SERVICE, DNS_SERVICE = "10.96.0.1", "10.96.0.10"
SERVER = f"https://{ADDRESS}:6443"
ETCD = "http://127.0.0.1:2379"
PAUSE_IMAGE = "localhost/pause:1"
# Where the enforcer of NetworkPolicies takes packets from.
QUEUE = 1
# Below it is every control group of the pods.
CONTROL_GROUP = "intranet-mcp-cluster"
START_SECONDS = 120

CONTAINERD = f"""\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%s"
    conf_dir = "%s"
"""


def main(state: Path, kube: Path, plugins: Path) -> None:
    """Start everything in order, then stay until something ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    subprocess.run(["hostname", NAME], check=True)
    mount(state)
    sys.stdin.readline()  # cluster.py has plugged in the network by then
    _configure_network()
    _make_control_group()
    _write_files(state / "etc", plugins)
    containerd = ["containerd", "--config", str(state / "etc" / "containerd.toml")]
    server = {"containerd": containerd, **store_and_server(state, kube)}
    run(state, server, {**controllers_and_scheduler(state, kube), **_of_node(state, kube)})


def run(state: Path, server: dict[str, list[str]], others: dict[str, list[str]]) -> NoReturn:
    """Start the API server with what it needs, then the others; stay until something ends."""
    programs: dict[int, str] = {}
    for name, words in server.items():
        programs[_start(state, name, words)] = name
    _wait_for_server(state / "pki", programs)
    for name, words in others.items():
        programs[_start(state, name, words)] = name
    while True:
        _reap(programs)


def _reap(programs: dict[int, str], options: int = 0) -> None:
    """Take note of a process that ended: one of the programs, or an orphan of a container."""
    pid, status = os.waitpid(-1, options)
    if pid in programs:
        raise SystemExit(f"{programs[pid]} ended with {os.waitstatus_to_exitcode(status)}")


def mount(state: Path) -> None:
    """Have places of its own where programs keep things."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    for name in ("lib", "log"):
        subprocess.run(["mount", "--bind", state / name, f"/var/{name}"], check=True)


def _configure_network() -> None:
    for words in (
        "link set lo up",
        f"address add {ADDRESS}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {MACHINE}",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    # The first packet of each connection from, to or between pods; dropped while nobody judges it.
    rule = f"-t mangle -A FORWARD -m conntrack --ctstate NEW -j NFQUEUE --queue-num {QUEUE}"
    subprocess.run(["iptables", *rule.split()], check=True)


def control_groups() -> list[Path]:
    """Where the control group of the pods is: in each hierarchy, or in the only one."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root / CONTROL_GROUP]
    return [place / CONTROL_GROUP for place in root.iterdir() if (place / "cgroup.procs").exists()]


def _make_control_group() -> None:
    for place in control_groups():
        place.mkdir(exist_ok=True)


def _write_files(folder: Path, plugins: Path) -> None:
    network = folder / "network"
    network.mkdir(parents=True)
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    listed = [
        {"type": "ptp", "ipam": addresses},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    pods = {"cniVersion": "0.4.0", "name": "pods", "plugins": listed}
    (network / "pods.conflist").write_text(json.dumps(pods))
    (folder / "containerd.toml").write_text(CONTAINERD % (plugins, network))
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    pki = folder.parent / "pki"
    (folder / "kubelet.json").write_text(json.dumps(_kubelet(folder, pki)))
    (folder / "proxy.json").write_text(json.dumps(_proxy(pki)))


def _kubelet(folder: Path, pki: Path) -> dict:
    """Its configuration: what differs from the defaults."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CONTROL_GROUP}",
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": DOMAIN,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "resolvConf": str(folder / "resolv.conf"),
        # As the machine is: control groups of version 1, swap, a disk that others fill.
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        # Tests wait for what it notices.
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "5s",
    }


def _proxy(pki: Path) -> dict:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(pki / "proxy.kubeconfig")},
        "clusterCIDR": PODS,
        "hostnameOverride": NAME,
        "bindAddress": ADDRESS,
        # The machine's limits, which are not this network's to set.
        "conntrack": {"maxPerCore": 0, "min": 0},
        "oomScoreAdj": 0,
    }


def store_and_server(state: Path, kube: Path) -> dict[str, list[str]]:
    """The commands of etcd and the API server."""
    pki = state / "pki"
    server = {
        "advertise-address": ADDRESS,
        "allow-privileged": True,
        "authorization-mode": "Node,RBAC",
        "client-ca-file": pki / "ca.crt",
        "enable-admission-plugins": "NodeRestriction",
        "etcd-servers": ETCD,
        "kubelet-certificate-authority": pki / "ca.crt",
        "kubelet-client-certificate": pki / "admin.crt",
        "kubelet-client-key": pki / "admin.key",
        "kubelet-preferred-address-types": "InternalIP",
        # For metrics-server, whose API it passes on.
        "proxy-client-cert-file": pki / "aggregator.crt",
        "proxy-client-key-file": pki / "aggregator.key",
        "requestheader-allowed-names": "aggregator",
        "requestheader-client-ca-file": pki / "ca.crt",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        "service-account-issuer": f"https://kubernetes.default.svc.{DOMAIN}",
        "service-account-key-file": pki / "accounts.pub",
        "service-account-signing-key-file": pki / "accounts.key",
        "service-cluster-ip-range": SERVICES,
        "tls-cert-file": pki / "server.crt",
        "tls-private-key-file": pki / "server.key",
    }
    # Nothing of it outlives the machine's next start.
    etcd = {"data-dir": "/var/lib/etcd", "unsafe-no-fsync": True, "log-level": "warn"}
    named = {"etcd": etcd, "kube-apiserver": server}
    return {name: command(kube, name, flags) for name, flags in named.items()}


def controllers_and_scheduler(state: Path, kube: Path, **more: str) -> dict[str, list[str]]:
    """Their commands. more: further flags of the controllers."""
    pki = state / "pki"
    controllers = {
        **access(pki, "controllers"),
        "cluster-cidr": PODS,
        # Tests wait for autoscalers. What pods need to start stays out of account, as by default.
        "horizontal-pod-autoscaler-sync-period": "5s",
        "leader-elect": False,
        "service-cluster-ip-range": SERVICES,
        "root-ca-file": pki / "ca.crt",
        "service-account-private-key-file": pki / "accounts.key",
        "use-service-account-credentials": True,
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    scheduler = {**access(pki, "scheduler"), "leader-elect": False}
    named = {"kube-controller-manager": controllers, "kube-scheduler": scheduler}
    return {name: command(kube, name, flags) for name, flags in named.items()}


def _of_node(state: Path, kube: Path) -> dict[str, list[str]]:
    pki, etc = state / "pki", state / "etc"
    kubelet = {
        "config": etc / "kubelet.json",
        "hostname-override": NAME,
        "kubeconfig": pki / "kubelet.kubeconfig",
        "node-ip": ADDRESS,
    }
    named = {
        "enforcer": {"kubeconfig": pki / "admin.kubeconfig", "node": NAME, "queue": QUEUE},
        "kubelet": kubelet,
        "kube-proxy": {"config": etc / "proxy.json"},
    }
    return {name: command(kube, name, flags) for name, flags in named.items()}


def access(pki: Path, name: str) -> dict:
    """The flags by which a program is told how it reaches the API server, and asks who asks it."""
    kubeconfig = pki / f"{name}.kubeconfig"
    whose = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return dict.fromkeys(whose, kubeconfig)


def command(kube: Path, name: str, flags: dict) -> list[str]:
    """The command of one of kube's programs."""
    texts = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in flags.items()}
    return [str(kube), name, *(f"--{flag}={text}" for flag, text in texts.items())]


def _start(state: Path, name: str, words: list[str]) -> int:
    with (state / "log" / f"{name}.log").open("wb") as log:
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log).pid


def _wait_for_server(pki: Path, programs: dict[int, str]) -> None:
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at:
        _reap(programs, os.WNOHANG)
        try:
            with urllib.request.urlopen(f"{SERVER}/readyz", timeout=5, context=context):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit(f"the API server was not ready within {START_SECONDS} s: see its log")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
