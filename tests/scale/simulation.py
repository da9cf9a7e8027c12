#!/usr/bin/env python3
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A cluster of 500 nodes that no machine stands behind: `simulation.py up` or `simulation.py down`.

Needs root and Go. Everything runs in namespaces of its own, with a network that leads nowhere
(control_plane.py), and computes only while nobody else does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "enterprise")]

import apart  # noqa: E402
import identities  # noqa: E402
import programs  # noqa: E402

STATE = programs.CACHE / "simulation"
APART = apart.Apart(STATE)
MODULE, SOURCE = "sigs.k8s.io/kwok", HERE / "kwok"
READY_SECONDS = 1200
# For whatever else this machine does, these programs are not there.
IDLY = ("chrt", "--idle", "0", "nice", "-n", "19")

ZONES, NODES, GPU_NODES = ("a", "b", "c"), 500, 30
# Where a company bought them: in one place.
GPU_ZONE, GPU_RESOURCE = "b", "nvidia.com/gpu"
PLAIN = {"cpu": "16", "memory": "64Gi", "pods": "110"}
WITH_GPUS = {"cpu": "64", "memory": "512Gi", "pods": "110", GPU_RESOURCE: "8"}
# As disks of a cloud: bound once a pod's node is known, and of that node's zone from then on.
CLASS, VOLUMES_PER_ZONE, VOLUME_SIZE = "zonal", 4, "500Gi"
# How long a pod takes until it is ready, in milliseconds: from and to.
START_MILLISECONDS = (2000, 6000)


class Simulation:
    """The one simulated cluster that this checkout has: running or not."""

    kubeconfig = STATE / "pki" / "admin.kubeconfig"

    def up(self) -> None:
        """Start it and wait until all nodes are ready."""
        if os.geteuid():
            raise SystemExit("the simulation needs namespaces: run this as root")
        self.down()
        self._kube = programs.kube() / "kube"
        kwok = _kwok()
        for name in ("etc", "lib", "log"):
            (STATE / name).mkdir(parents=True)
        identities.of_control_plane(STATE / "pki")
        (STATE / "etc" / "kwok.yaml").write_text(yaml.safe_dump_all(_behaviour()))
        try:
            self._start(kwok)
            self._have_kinds_storage_and_numbers()
            self._have_nodes()
        except BaseException:
            self._end()  # what it said stays
            raise

    def down(self) -> None:
        """End it; nothing of it stays."""
        self._end()
        shutil.rmtree(STATE, ignore_errors=True)

    @property
    def within(self) -> tuple[str, ...]:
        """A command that runs others where the API server is reached."""
        return (*IDLY, "nsenter", f"--net=/proc/{APART.pid}/ns/net", "--")

    def command(self, *words: str) -> list[str]:
        """Return the command that runs kubectl as the cluster's administrator."""
        kubectl = (self._kube, "kubectl", "--kubeconfig", self.kubeconfig)
        return [str(word) for word in (*self.within, *kubectl, *words)]

    def kubectl(self, *words: str, said: str = "", seconds: int = 120) -> str:
        """Run kubectl; returns what it prints."""
        done = subprocess.run(
            self.command(*words),
            input=said,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(map(str, words))}: {done.stderr or done.stdout}")
        return done.stdout

    def apply(self, objects: list[dict], seconds: int = 1200) -> None:
        """Have objects in the cluster."""
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.kubectl("create", "-f", "-", said=json.dumps(listed), seconds=seconds)

    def cpu_seconds(self) -> Counter:
        """What each program has computed since its start."""
        found: Counter = Counter()
        ticks = os.sysconf("SC_CLK_TCK")
        (first,) = _children(APART.pid)
        for pid in _children(first):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            name = "kwok" if words[0].endswith("/kwok") else words[1]
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[name] += (int(fields[11]) + int(fields[12])) / ticks
        return found

    def wait(self, what: str, is_so: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
        """Wait for something that is asked for once a second."""
        ends_at = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < ends_at, f"no {what} within {seconds} s; logs: {APART.logs}"
            time.sleep(1)

    def _start(self, kwok: Path) -> None:
        process = APART.start(HERE / "control_plane.py", self._kube, kwok, by=IDLY)
        self.wait("the API server", lambda: process.poll() is not None or self._is_ready())
        if process.poll() is not None:
            raise SystemExit((APART.logs / "control_plane.log").read_text())

    def _is_ready(self) -> bool:
        try:
            return bool(self.kubectl("get", "--raw", "/readyz", seconds=10))
        except (RuntimeError, subprocess.TimeoutExpired):
            return False

    def _have_kinds_storage_and_numbers(self) -> None:
        files = [word for path in programs.kinds() for word in ("-f", str(path))]
        self.kubectl("create", *files, seconds=600)
        self.apply([_storage_class(), *_volumes(), *_numbers()])

    def _have_nodes(self) -> None:
        self.apply(list(_nodes()))
        ready = ("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={READY_SECONDS}s")
        self.kubectl(*ready, seconds=READY_SECONDS + 10)

    def _end(self) -> None:
        APART.kill()
        self.wait("its end", lambda: not APART.is_running, 30)


def _kwok() -> Path:
    name = f"kwok-{programs.release(SOURCE, MODULE)}-{programs.content(SOURCE)}"
    build = ("build", "-trimpath", "-ldflags=-s -w", "-o")

    def make(place: Path) -> None:
        programs.go(*build, str(place / "kwok"), f"{MODULE}/cmd/kwok", cwd=SOURCE)

    return programs.kept(name, make) / "kwok"


def _behaviour() -> Iterator[dict]:
    """What kwok does with nodes and pods: its own rules, with some time until a pod is ready. Pods
    of Jobs end well. What a pod uses stands in its annotations.
    """
    patterns = ("stage/node/fast", "stage/pod/fast", "metrics/resource", "metrics/usage")
    files = programs.definitions(SOURCE, MODULE, *(f"kustomize/{one}/*.yaml" for one in patterns))
    least, most = START_MILLISECONDS
    for path in files:
        for rule in yaml.safe_load_all(path.read_text()):
            if rule["kind"] == "Kustomization":
                continue
            if rule["metadata"]["name"] == "pod-ready":
                delay = {"durationMilliseconds": least, "jitterDurationMilliseconds": most}
                rule["spec"]["delay"] = delay
            yield rule


def _nodes() -> Iterator[dict]:
    """The first have GPUs, and take nothing else."""
    for number in range(NODES):
        has_gpus = number < GPU_NODES
        name = f"gpu-{number:03}" if has_gpus else f"node-{number:03}"
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": GPU_ZONE if has_gpus else ZONES[number % len(ZONES)],
        }
        numbers = {
            "metrics.k8s.io/resource-metrics-path": f"/metrics/nodes/{name}/metrics/resource"
        }
        spec: dict = {}
        if has_gpus:
            labels["nvidia.com/gpu.present"] = "true"
            spec["taints"] = [{"key": GPU_RESOURCE, "value": "present", "effect": "NoSchedule"}]
        amounts = WITH_GPUS if has_gpus else PLAIN
        yield {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels, "annotations": numbers},
            "spec": spec,
            "status": {"allocatable": amounts, "capacity": amounts},
        }


def _storage_class() -> dict:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _volumes() -> Iterator[dict]:
    for zone in ZONES:
        place = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}
        for number in range(VOLUMES_PER_ZONE):
            yield {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"{CLASS}-{zone}{number}"},
                "spec": {
                    "storageClassName": CLASS,
                    "capacity": {"storage": VOLUME_SIZE},
                    "accessModes": ["ReadWriteOnce"],
                    "local": {"path": "/nowhere"},
                    "nodeAffinity": {
                        "required": {"nodeSelectorTerms": [{"matchExpressions": [place]}]}
                    },
                },
            }


def _numbers() -> Iterator[dict]:
    """metrics-server is no pod here: its Service is a name of the same host."""
    name = {"name": "metrics-server", "namespace": "kube-system"}
    spec = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": 4443}]}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": name, "spec": spec}
    yield {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,  # it makes its certificate itself
            "service": {**name, "port": 4443},
        },
    }


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


if __name__ == "__main__":
    sys.exit(apart.main({"up": Simulation().up, "down": Simulation().down}))
