# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How a cluster is reached, as a kubeconfig says it."""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from dataclasses import dataclass

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    Refused,
    ServiceError,
    Unknown,
)

try:
    import yaml
except ImportError:
    yaml = None

# How modules are told of a cluster; the doc fragment `kubernetes` explains them.
ARGUMENTS = {
    "kubeconfig": {"type": "path", "required": True},
    "context": {"type": "str", "default": ""},
}
# How long a helper that fetches a token may take: some ask a server themselves.
HELPER_SECONDS = 60
# What this client does not do; without it another server, or nobody, would be reached.
_NOT_FOR_CLUSTERS = ("proxy-url", "tls-server-name")
_NOT_FOR_USERS = ("auth-provider", "username", "as")


@dataclass(frozen=True)
class Access:
    """Address and credentials of a cluster. Certificates and keys are PEM."""

    server: str
    authorities: str = ""
    validate_certs: bool = True
    token: str = ""
    certificate: str = ""
    key: str = ""

    def __repr__(self) -> str:
        return f"Access({self.server})"


def read(path: str, context: str = "") -> Access:
    """What the kubeconfig in a file says. Needs PyYAML, which a module asks for (`yaml`)."""
    try:
        with open(path, encoding="utf-8") as stream:
            config = yaml.safe_load(stream)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Unknown(
            f"the kubeconfig {path} cannot be read ({error})",
            "a kubeconfig that this user may read",
            "correct kubernetes_kubeconfig",
        ) from error
    return access(config, path, context)


def access(config: object, path: str, context: str = "") -> Access:
    """What a kubeconfig says. config: its content. context: one of its own, or the current one."""
    if not isinstance(config, dict) or "clusters" not in config:
        raise Refused(f"{path} is no kubeconfig", "contexts, clusters and users", "correct it")
    name = context or config.get("current-context", "")
    chosen = _named(config, "contexts", name, path, "context")
    cluster = _named(config, "clusters", chosen.get("cluster", ""), path, "cluster")
    user = _named(config, "users", chosen.get("user", ""), path, "user")
    for found, keys in ((cluster, _NOT_FOR_CLUSTERS), (user, _NOT_FOR_USERS)):
        if others := [key for key in keys if found.get(key)]:
            raise Refused(
                f"{path}: context {name!r} uses {others[0]}",
                "a server that is reached directly, with a token, a certificate or exec",
                "add a context without it, and name that one",
            )
    folder = os.path.dirname(os.path.abspath(path))
    return _access(cluster, _credentials(user, folder, cluster), folder, path)


def _access(cluster: dict, user: dict, folder: str, path: str) -> Access:
    server = cluster.get("server", "")
    if not server.startswith(("https://", "http://")):
        raise Refused(f"{path}: the server is {server!r}", "https://HOST:PORT", "correct it")
    return Access(
        server=server,
        authorities=_pem(cluster, "certificate-authority", folder),
        validate_certs=not cluster.get("insecure-skip-tls-verify", False),
        token=user.get("token") or _content(user.get("tokenFile", ""), folder).strip(),
        certificate=_pem(user, "client-certificate", folder),
        key=_pem(user, "client-key", folder),
    )


def _named(config: dict, kind: str, name: str, path: str, singular: str) -> dict:
    entries = {entry.get("name"): entry.get(singular) for entry in config.get(kind) or []}
    if not name or not isinstance(entries.get(name), dict):
        raise Unknown(
            f"{path} has no {singular} {name!r}",
            f"one of {', '.join(str(n) for n in entries) or 'none'}",
            "correct kubernetes_context or the file",
        )
    return entries[name]


def _pem(entry: dict, key: str, folder: str) -> str:
    if inline := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(inline, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Refused(
                f"{key}-data cannot be read ({error})", "PEM in base64", "correct it"
            ) from error
    return _content(entry.get(key, ""), folder)


def _content(path: str, folder: str) -> str:
    if not path:
        return ""
    place = os.path.join(folder, path)
    try:
        with open(place, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise Unknown(
            f"{place}, which the kubeconfig names, cannot be read ({error})",
            "a file that this user may read",
            "correct the kubeconfig",
        ) from error


def _credentials(user: dict, folder: str, cluster: dict) -> dict:
    """The user, with what its helper answers where it has one."""
    helper = user.get("exec")
    if not helper:
        return user
    command = helper.get("command", "")
    # A relative path is meant from the file; a plain name from PATH.
    program = os.path.join(folder, command) if os.sep in command else command
    version = helper.get("apiVersion", "client.authentication.k8s.io/v1")
    spec: dict = {"interactive": False}
    if helper.get("provideClusterInfo"):
        told = ("server", "certificate-authority-data", "insecure-skip-tls-verify")
        spec["cluster"] = {key: cluster[key] for key in told if key in cluster}
    asked = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    environment = {
        **os.environ,
        **{one["name"]: one["value"] for one in helper.get("env") or []},
        "KUBERNETES_EXEC_INFO": json.dumps(asked),
    }
    try:
        done = subprocess.run(
            [program, *(helper.get("args") or [])],
            env=environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=HELPER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(command, str(error)) from error
    status = _status(done)
    if not status:
        raise _failed(command, done.stderr.decode(errors="replace").strip()[-500:])
    return {
        "token": status.get("token", ""),
        "client-certificate-data": _encoded(status.get("clientCertificateData", "")),
        "client-key-data": _encoded(status.get("clientKeyData", "")),
    }


def _status(done) -> dict:
    try:
        return json.loads(done.stdout).get("status") or {} if done.returncode == 0 else {}
    except (ValueError, AttributeError):
        return {}


def _failed(command: str, reason: str) -> ServiceError:
    return Unknown(
        f"{command}, which the kubeconfig names, gave no credentials ({reason})",
        f"an ExecCredential within {HELPER_SECONDS} s, without questions",
        "run it by hand and sign in, or name a context with a token",
    )


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
