# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The cluster's authority, a certificate for each of its parts, and their kubeconfigs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import node
import yaml

DAYS = "30"


def of_control_plane(folder: Path) -> Identities:
    """Those of the API server, of whoever speaks to it everywhere, and of the administrator."""
    known = Identities(folder, node.SERVER)
    server = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    names = [f"IP:{address}" for address in (node.ADDRESS, node.FIRST_SERVICE)]
    known.add("server", "/CN=kube-apiserver", *names, *(f"DNS:{name}" for name in server))
    known.add("admin", "/O=system:masters/CN=admin")
    known.add("controllers", "/CN=system:kube-controller-manager")
    known.add("aggregator", "/CN=aggregator")
    known.add("scheduler", "/CN=system:kube-scheduler")
    return known


class Identities:
    """Keys, certificates and kubeconfigs in one directory."""

    def __init__(self, folder: Path, server: str) -> None:
        self._folder, self._server = folder, server
        folder.mkdir(mode=0o700)
        (folder / "empty.cnf").write_text("[req]\ndistinguished_name = empty\n[empty]\n")
        usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
        self._request("ca", "/CN=cluster", ["basicConstraints=critical,CA:TRUE", usage])
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "accounts.key")
        self._openssl("ec", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")

    def add(self, name: str, subject: str, *names: str) -> None:
        """Make a certificate for whoever is called so, and serves under these names."""
        extensions = [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
            "extendedKeyUsage=clientAuth,serverAuth",
        ]
        extensions += [f"subjectAltName={','.join(names)}"] if names else []
        self._request(name, subject, extensions, "-CA", "ca.crt", "-CAkey", "ca.key")
        self._kubeconfig(name)

    def _request(self, name: str, subject: str, extensions: list[str], *by: str) -> None:
        added = [word for extension in extensions for word in ("-addext", extension)]
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS)
        place = ("-keyout", f"{name}.key", "-out", f"{name}.crt", "-config", "empty.cnf")
        self._openssl("req", "-x509", *kind, *place, "-subj", subject, *by, *added)

    def _openssl(self, *words: str) -> None:
        command = ["openssl", *words]
        subprocess.run(command, cwd=self._folder, check=True, capture_output=True, timeout=60)

    def _kubeconfig(self, name: str) -> None:
        files = {key: str(self._folder / f"{name}.{key}") for key in ("crt", "key")}
        cluster = {
            "server": self._server,
            "certificate-authority": str(self._folder / "ca.crt"),
        }
        user = {"client-certificate": files["crt"], "client-key": files["key"]}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "cluster", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": "cluster", "user": name}}],
            "current-context": name,
        }
        (self._folder / f"{name}.kubeconfig").write_text(yaml.safe_dump(config))
