# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Debian's container registry, made from the platform's own base: open, or as a company runs it."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import ssl
import subprocess

import pytest

IMAGE = "itest-registry:1"
CONFIG = "/etc/docker/registry/config.yml"
# The engine trusts what docker_registry_ca lists, as role docker has it, without touching the rest.
TRUST = [
    {"intranet.mcp.docker_engine_info": {}, "register": "__docker_engine"},
    {
        "include_role": {
            "name": "intranet.mcp.docker",
            "tasks_from": "authorities",
            "public": True,
        }
    },
]


def build(base: str, folder) -> str:
    """Have the registry's image, and return its name."""
    (folder / "Dockerfile").write_text(
        f"FROM {base}\nRUN apt-add docker-registry && sed -i '/^auth:/,/path:/d' {CONFIG}\n"
        f'ENTRYPOINT ["docker-registry", "serve", "{CONFIG}"]\n'
    )
    made = subprocess.run(
        ["docker", "build", "-q", "-t", IMAGE, folder], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"needs the package docker-registry from a mirror: {made.stderr[-200:]}")
    return IMAGE


class CompanyRegistry:
    """One with a login, and a certificate of the company's own authority.

    It is reached at the network's gateway: for loopback addresses the engine verifies nothing.
    """

    def __init__(self, docker, image: str, folder) -> None:
        self.login = {"username": "robot", "password": secrets.token_hex(8)}
        self.authority = folder / "ca.pem"
        address = docker.gateway()
        self._certificate(folder, address)
        entry = docker.run(
            "run", "--rm", "--entrypoint=perl", image, "-e", "print crypt($ARGV[0], $ARGV[1])",
            self.login["password"], "$2b$05$" + secrets.token_hex(11),
        )  # fmt: skip
        (folder / "htpasswd").write_text(f"robot:{entry}\n")
        for path in (folder, folder / "htpasswd", folder / "key.pem", folder / "chain.pem"):
            path.chmod(0o755)
        container = docker.start(
            "company-registry",
            image,
            f"--publish={address}::5000",
            f"--volume={folder}:/site:ro",
            "--tmpfs=/var/lib/docker-registry",
            env={
                "REGISTRY_AUTH": "htpasswd",
                "REGISTRY_AUTH_HTPASSWD_REALM": "company",
                "REGISTRY_AUTH_HTPASSWD_PATH": "/site/htpasswd",
                "REGISTRY_HTTP_TLS_CERTIFICATE": "/site/chain.pem",
                "REGISTRY_HTTP_TLS_KEY": "/site/key.pem",
            },
        )
        self.host = docker.address(container, 5000)

    def __repr__(self) -> str:
        return f"CompanyRegistry({self.host})"

    def _certificate(self, folder, address: str) -> None:
        def openssl(*words):
            subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        openssl("req", "-x509", *curve, "-days", "1", "-subj", "/CN=Company", "-keyout",
                "ca.key", "-out", "ca.pem")  # fmt: skip
        openssl("req", *curve, "-subj", "/CN=registry", "-keyout", "key.pem", "-out", "csr.pem")
        (folder / "names").write_text(f"subjectAltName=IP:{address}\n")
        openssl("x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "1",
                "-CAcreateserial", "-extfile", "names", "-out", "chain.pem")  # fmt: skip

    def status(self) -> int:
        """Return what an unauthenticated client is answered, 0 while nothing answers."""
        host, _colon, port = self.host.partition(":")
        context = ssl.create_default_context(cafile=str(self.authority))
        connection = http.client.HTTPSConnection(host, int(port), timeout=5, context=context)
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()


def push(source: str, target: str, variables: dict) -> str:
    """Push an image under another name, and return its digest."""
    environment = {**os.environ, **variables}
    subprocess.run(["docker", "tag", source, target], check=True, capture_output=True)
    try:
        done = subprocess.run(
            ["docker", "push", target], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = subprocess.run(
            ["docker", "image", "inspect", target], capture_output=True, text=True, check=True
        )
        repository = target.rpartition(":")[0]
        digests = json.loads(found.stdout)[0]["RepoDigests"]
        return next(d.partition("@")[2] for d in digests if d.startswith(f"{repository}@"))
    finally:
        subprocess.run(["docker", "image", "rm", target], capture_output=True, check=False)
