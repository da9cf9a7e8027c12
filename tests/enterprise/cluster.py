#!/usr/bin/env python3
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real Kubernetes cluster of one node on this machine: `cluster.py up` or `cluster.py down`.

Needs root, a containerd, Go. Everything runs in namespaces of its own (node.py); of the machine's
network it uses one interface, one net and the routes to pods and Services.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import apart  # noqa: E402
import archive  # noqa: E402
import identities  # noqa: E402
import node  # noqa: E402
import programs  # noqa: E402

STATE = programs.CACHE / "cluster"
APART = apart.Apart(STATE)
INTERFACE = "intranet-mcp"
KUBE_IMAGE, TRAEFIK_IMAGE = "localhost/kube:1", "localhost/traefik:1"
# Made once the kinds of the Gateway API are known.
ENTRY = "entry.yml"
READY_SECONDS = 180
END_SECONDS = 30
# What the example inventory calls the entry.
PUBLIC_NAME = "llm.example.internal"
# What those of two sites in one cluster are called.
SITE_NAMES = ("near.example.internal", "far.example.internal")
# Storage: directories of the node, each a volume of its own.
CLASS, VOLUMES, VOLUME_SIZE = "local", 12, "500Gi"


class Cluster:
    """The one cluster that this checkout has: running or not."""

    kubeconfig = STATE / "pki" / "admin.kubeconfig"
    # What its entry shows to people, and whom these trust.
    certificate = (STATE / "pki" / "entry.crt", STATE / "pki" / "entry.key")
    authority = STATE / "pki" / "ca.crt"
    # The same for two sites, and for whoever stands between them on this machine.
    of_sites = (STATE / "pki" / "sites.crt", STATE / "pki" / "sites.key")

    def up(self) -> None:
        """Start it and wait until it runs pods that find each other by name."""
        if os.geteuid():
            raise SystemExit("the cluster needs namespaces and control groups: run this as root")
        if _interface().exists():
            raise SystemExit(f"interface {INTERFACE} is there: `cluster.py down` ends its cluster")
        self._programs = programs.made()
        self._prepare()
        try:
            self._start()
            self._have_images()
            self._have_names_storage_and_numbers()
            self._have_kinds()
            self._have_entry()
        except BaseException:
            self._end()  # what it said stays
            raise

    def down(self) -> None:
        """End it; nothing of it stays but what it said."""
        self._end()
        for place in STATE.glob("*"):
            if place != APART.logs:
                shutil.rmtree(place)

    def kubectl(self, *words: str, said: str = "", seconds: int = 60) -> str:
        """Run kubectl as the cluster's administrator; returns what it prints."""
        command = [self._programs.kube, "kubectl", "--kubeconfig", self.kubeconfig, *words]
        return _run(command, said=said, timeout=seconds)

    def import_images(self, place: Path) -> None:
        """Give the node the images of an archive that `docker save` wrote."""
        self._ctr("images", "import", place)

    def kill(self, container: str) -> None:
        """End the program of a container without a word, as a node that is short of memory does."""
        self._ctr("tasks", "kill", "--signal", "SIGKILL", container)

    def _ctr(self, *words) -> None:
        files = Path("/proc") / str(APART.pid) / "root"
        socket = files / "run" / "containerd" / "containerd.sock"
        _run(["ctr", "--address", socket, "--namespace", "k8s.io", *words], timeout=600)

    def _prepare(self) -> None:
        shutil.rmtree(STATE, ignore_errors=True)
        for name in ("etc", "lib", "log", "images"):
            (STATE / name).mkdir(parents=True)
        for number in range(VOLUMES):
            (STATE / "lib" / "volumes" / str(number)).mkdir(parents=True)
        known = identities.of_control_plane(STATE / "pki")
        known.add("entry", f"/CN={PUBLIC_NAME}", f"DNS:{PUBLIC_NAME}")
        places = (f"IP:{node.MACHINE}", *(f"DNS:{name}" for name in SITE_NAMES))
        known.add("sites", "/CN=sites", *places)
        known.add("proxy", "/CN=system:kube-proxy")
        kubelet = f"/O=system:nodes/CN=system:node:{node.NAME}"
        known.add("kubelet", kubelet, f"IP:{node.ADDRESS}", f"DNS:{node.NAME}")

    def _start(self) -> None:
        words = (self._programs.kube, self._programs.plugins)
        process = APART.start(HERE / "node.py", *words, stdin=subprocess.PIPE)
        _wait("namespaces of its own", lambda: _has_network_of_its_own(process.pid))
        for line in (
            f"link add {INTERFACE} type veth peer name eth0 netns {process.pid}",
            f"address add {node.MACHINE}/24 dev {INTERFACE}",
            f"link set {INTERFACE} up",
            f"route add {node.PODS} via {node.ADDRESS}",
            f"route add {node.SERVICES} via {node.ADDRESS}",
        ):
            _run(["ip", *line.split()])
        process.stdin.write(b"\n")
        process.stdin.close()
        _wait("the node", lambda: process.poll() is not None or self._has_node())
        if process.poll() is not None:
            raise SystemExit(f"the cluster ended: {(APART.logs / 'node.log').read_text()}")

    def _has_node(self) -> bool:
        try:
            ready = ("wait", "--for=condition=Ready", "--timeout=1s", "node", node.NAME)
            return bool(self.kubectl(*ready))
        except (RuntimeError, subprocess.TimeoutExpired):
            return False

    def _have_images(self) -> None:
        for reference, program in (
            (node.PAUSE_IMAGE, self._programs.pause),
            (KUBE_IMAGE, self._programs.kube),
            (TRAEFIK_IMAGE, self._programs.traefik),
        ):
            place = STATE / "images" / f"{program.name}.tar"
            archive.write(place, reference, program)
            self.import_images(place)
            place.unlink()

    def _have_names_storage_and_numbers(self) -> None:
        volumes = {"apiVersion": "v1", "kind": "List", "items": [*map(_volume, range(VOLUMES))]}
        self.kubectl("apply", "-f", "-", said=json.dumps(volumes))
        for place in sorted((HERE / "manifests").iterdir()):
            if place.name != ENTRY:
                self.kubectl("apply", "-f", str(place))
        for name in ("coredns", "metrics-server"):
            self._wait_for("kube-system", name)

    def _have_kinds(self) -> None:
        """Kinds of others. Prometheus's have no operator: they are kept, and no more."""
        files = [word for path in self._programs.kinds for word in ("-f", str(path))]
        self.kubectl("apply", "--server-side", *files)
        established = ("--for=condition=Established", "crd", "--all", "--timeout=60s")
        self.kubectl("wait", *established, seconds=70)

    def _have_entry(self) -> None:
        """A controller for both kinds of entry, on port 443 of the node."""
        self.kubectl("apply", "-f", str(HERE / "manifests" / ENTRY))
        files = zip(("--cert", "--key"), self.certificate, strict=True)
        secret = ("create", "secret", "tls", "gateway", "--namespace", "traefik")
        self.kubectl(*secret, *(f"{option}={path}" for option, path in files))
        self._wait_for("traefik", "traefik")

    def _wait_for(self, namespace: str, name: str) -> None:
        rollout = ("rollout", "status", f"deployment/{name}", "--namespace", namespace)
        self.kubectl(*rollout, f"--timeout={READY_SECONDS}s", seconds=READY_SECONDS + 10)

    def _end(self) -> None:
        if not APART.pid:
            return
        APART.kill()
        if _interface().exists():  # connections that were cut off keep it for a minute
            _run(["ip", "link", "delete", INTERFACE])
        _wait("the end of its network", lambda: not _interface().exists(), END_SECONDS)
        for place in node.control_groups():
            _wait(f"the end of {place}", lambda place=place: _is_removed(place), END_SECONDS)


def _volume(number: int) -> dict:
    place = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node.NAME]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{CLASS}-{number}"},
        "spec": {
            "storageClassName": CLASS,
            "capacity": {"storage": VOLUME_SIZE},
            "accessModes": ["ReadWriteOnce"],
            "local": {"path": f"/var/lib/volumes/{number}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [place]}]}},
        },
    }


def _interface() -> Path:
    return Path("/sys/class/net") / INTERFACE


def _has_network_of_its_own(pid: int) -> bool:
    return os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")


def _is_removed(group: Path) -> bool:
    """Whether a control group could be removed with those below it; the last process may linger."""
    try:
        for place in sorted(group.rglob("*/"), key=lambda found: -len(found.parts)):
            place.rmdir()
        if group.exists():
            group.rmdir()
    except OSError:
        return False
    return True


def _run(command: list, said: str = "", timeout: int = 60) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr or done.stdout}")
    return done.stdout


def _wait(what: str, is_so: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
    ends_at = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > ends_at:
            raise SystemExit(f"waited {seconds} s in vain for {what}; logs: {APART.logs}")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(apart.main({"up": Cluster().up, "down": Cluster().down}))
