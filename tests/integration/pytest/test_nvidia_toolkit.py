# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""NVIDIA's own tool and library beside our merge; only the GPU itself is a mock."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[3]
PROGRAMS = REPOSITORY / ".cache/test/gobin"
VERSION = "1.20.2"
TOOLKIT = "github.com/NVIDIA/nvidia-container-toolkit"
DRIVER = "550.54.15"  # what NVIDIA's mock reports
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="device files need root"),
    pytest.mark.skipif(not shutil.which("go"), reason="no Go to build NVIDIA's tools with"),
]

PLAY = """
- hosts: all
  gather_facts: false
  roles: [intranet.mcp.nvidia_container_toolkit]
"""


def build(command: list[str], directory: Path) -> None:
    result = subprocess.run(
        ["nice", "-n", "10", *command],
        cwd=directory,
        env={**os.environ, "GOBIN": str(PROGRAMS), "CGO_ENABLED": "1", "GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.fixture(scope="session")
def nvidia_ctk() -> Path:
    """The real tool, built once from its Go module."""
    program = PROGRAMS / f"nvidia-ctk-{VERSION}"
    if not program.exists():
        PROGRAMS.mkdir(parents=True, exist_ok=True)
        flags = f"-X {TOOLKIT}/internal/info.version={VERSION}"
        package = f"{TOOLKIT}/cmd/nvidia-ctk@v{VERSION}"
        build(["go", "install", "-ldflags", flags, package], PROGRAMS)
        (PROGRAMS / "nvidia-ctk").rename(program)
    return program


@pytest.fixture(scope="session")
def cdi_spec(tmp_path_factory) -> str:
    """What NVIDIA's library says of eight A100, with device files and driver in a fake root."""
    origin = REPOSITORY / "tests/integration/nvidia-mock"
    digest = hashlib.sha256((origin / "main.go").read_bytes()).hexdigest()[:12]
    program = PROGRAMS / f"nvidia-mock-{VERSION}-{digest}"
    if not program.exists():
        PROGRAMS.mkdir(parents=True, exist_ok=True)
        source = tmp_path_factory.mktemp("mock") / "source"
        shutil.copytree(origin, source)
        build(["go", "build", "-o", str(program), "."], source)
    root = tmp_path_factory.mktemp("driver")
    libraries = root / "usr/lib/x86_64-linux-gnu"
    for directory in (root / "dev", root / "usr/bin", libraries):
        directory.mkdir(parents=True)
    devices = {f"nvidia{n}": (195, n) for n in range(8)} | {"nvidiactl": (195, 255)}
    for name, number in devices.items():
        os.mknod(root / "dev" / name, 0o666 | 0o020000, os.makedev(*number))
    for name in ("libcuda", "libnvidia-ml"):
        (libraries / f"{name}.so.{DRIVER}").touch()
        (libraries / f"{name}.so.1").symlink_to(f"{name}.so.{DRIVER}")
    return subprocess.run(
        [str(program), str(root)], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def daemon_json(path: Path, **arguments) -> dict:
    script = (
        "import json, sys\n"
        "from ansible.module_utils.testing import patch_module_args\n"
        "from ansible_collections.intranet.mcp.plugins.modules import daemon_json\n"
        "with patch_module_args(json.loads(sys.argv[1])): daemon_json.main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, json.dumps({"path": str(path), **arguments})],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / ".cache/collections")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(result.stdout)


def role_settings() -> dict:
    path = REPOSITORY / "roles/nvidia_container_toolkit/vars/main.yml"
    return yaml.safe_load(path.read_text())["__nvidia_container_toolkit_settings"]


def configure(nvidia_ctk: Path, path: Path) -> None:
    command = [str(nvidia_ctk), "runtime", "configure", "--runtime=docker", f"--config={path}"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def test_our_merge_and_nvidias_own_tool_agree(nvidia_ctk, tmp_path):
    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    for path in (ours, theirs):
        path.write_text('{"bip": "10.9.0.1/24", "runtimes": {"kata": {"path": "kata"}}}')
    assert daemon_json(ours, settings=role_settings())["changed"]
    configure(nvidia_ctk, theirs)
    assert json.loads(ours.read_text()) == json.loads(theirs.read_text())
    assert not daemon_json(theirs, settings=role_settings())["changed"]
    before = json.loads(ours.read_text())
    configure(nvidia_ctk, ours)
    assert json.loads(ours.read_text()) == before


def test_the_library_describes_every_gpu(cdi_spec):
    spec = yaml.safe_load(cdi_spec)
    assert spec["kind"] == "nvidia.com/gpu"
    assert {"0", "7", "all"} <= {device["name"] for device in spec["devices"]}


class Relay(socketserver.StreamRequestHandler):
    """One connection to this machine's engine."""

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect("/var/run/docker.sock")
            answers = threading.Thread(target=self._copy, args=(engine, self.request))
            answers.start()
            self._copy(self.request, engine)
            answers.join()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(65536):
                target.sendall(block)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def relayed_engine(tmp_path):
    """The path of a socket that leads to this machine's engine.

    To the role that engine is somebody else's, which it does not restart: other tests use it.
    """
    path = str(tmp_path / "docker.sock")
    with socketserver.ThreadingUnixStreamServer(path, Relay) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield path
        server.shutdown()


class Role:
    """The role on this machine: real docker, real tool, a spec from the mock."""

    def __init__(self, home: Path, nvidia_ctk: Path, spec: str, engine: str):
        self.home, self.engine = home, engine
        (home / "spec.yaml").write_text(spec)
        (home / "play.yml").write_text(PLAY)
        self.answer("--version", f'exec {nvidia_ctk} "$@"')

    def answer(self, case: str, script: str) -> None:
        program = self.home / "nvidia-ctk"
        cases = f"{case}) {script} ;;\ncdi) cat {self.home}/spec.yaml ;;"
        program.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}\nesac\n')
        program.chmod(0o755)

    def run(self, **variables) -> tuple[int, str]:
        variables = {
            "ansible_python_interpreter": sys.executable,
            "nvidia_gpu": True,
            "nvidia_container_toolkit_cdi_spec": str(self.home / "cdi/nvidia.yaml"),
            "docker_daemon_json": str(self.home / "daemon.json"),
            "docker_socket": self.engine,
            **variables,
        }
        result = subprocess.run(
            [
                *[str(PLAYBOOK), "-i", "here,", "-c", "local", str(self.home / "play.yml")],
                *["-e", json.dumps(variables)],
            ],
            cwd=REPOSITORY,
            # Without a GPU the proof runs another program under the ordinary runtime.
            env={
                **os.environ,
                "PATH": f"{self.home}:{os.environ['PATH']}",
                "PROVE_GPU_PROGRAM": "nproc",
                "PROVE_GPU_RUNTIME": "runc",
                "PROVE_GPU_ARGUMENTS": "--all",
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return result.returncode, result.stdout + result.stderr


@pytest.fixture
def role(tmp_path, nvidia_ctk, cdi_spec, relayed_engine):
    if not PLAYBOOK.exists():
        pytest.skip("no ansible-playbook beside this Python")
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers here")
    return Role(tmp_path, nvidia_ctk, cdi_spec, relayed_engine)


def changed(output: str) -> int:
    return int(re.search(r"changed=(\d+)", output).group(1))


def test_the_role_writes_spec_and_runtime_once_and_proves_them(role):
    code, out = role.run()
    assert code == 0, out
    assert changed(out) > 0
    assert "Check that a container sees the GPU" in out
    assert "was not started here and is left alone" in " ".join(out.split())
    assert yaml.safe_load((role.home / "cdi/nvidia.yaml").read_text())["devices"]
    assert "nvidia" in json.loads((role.home / "daemon.json").read_text())["runtimes"]
    code, out = role.run()
    assert (code, changed(out)) == (0, 0), out
    assert "Check that a container sees the GPU" not in out


def test_a_version_with_a_known_hole_is_refused(role):
    role.answer("--version", "echo NVIDIA Container Toolkit CLI version 1.17.7")
    code, out = role.run(nvidia_container_toolkit_version="1.17.7")
    assert code != 0
    assert "1.17.7 is installed; expected a version above 1.17.7" in " ".join(out.split())
    assert not (role.home / "daemon.json").exists()


def test_a_host_without_gpu_is_skipped_with_the_reason(role):
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has a GPU")
    code, out = role.run(nvidia_gpu="auto")
    assert (code, changed(out)) == (0, 0), out
    assert "Skipped: there is neither /dev/nvidia0 nor /proc/driver/nvidia" in " ".join(out.split())
    code, out = role.run(nvidia_gpu=False)
    assert "Skipped: nvidia_gpu is false" in out
