# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where logs go outside the platform. Pure."""

from __future__ import annotations

import re

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError
from ansible_collections.intranet.mcp.plugins.module_utils.common.x509 import (
    CertificateError,
    not_after_of_pem,
)

KEYS = {"host", "port", "name", "ca", "certificate", "key"}
# They stand between quotes in rsyslog's configuration.
_NAME = re.compile(r"[A-Za-z0-9._:*-]+")
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")


class SiemError(ServiceError):
    """A logs_siem that cannot be used; it never says a key."""

    reason = "siem"


def places(siem: dict, port: int) -> list[str]:
    """Return logs_siem's address as `egress` of the catalog takes it.

    None of one that cannot be used: whoever reads the catalog has other questions, and preflight
    says what is wrong.
    """
    try:
        host, port = (resolved(siem, port)[key] for key in ("host", "port"))
    except SiemError:
        return []
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]


def resolved(siem: dict, port: int) -> dict:
    """Return logs_siem with a port and the name in its certificate, or say what it lacks."""
    check(siem)
    return {"port": port, "name": siem["host"], **siem}


def check(siem: dict) -> None:
    """Raise SiemError for a logs_siem that cannot be used."""
    if not isinstance(siem, dict):
        _refuse(" is no mapping", "host and ca at least", "write it as {host: ..., ca: ...}")
    if unknown := sorted(set(siem) - KEYS):
        _refuse(
            f" has the key {unknown[0]!r}",
            f"only {', '.join(sorted(KEYS))}",
            "correct its name, or leave it out",
        )
    for key in ("host", "ca"):
        if not siem.get(key):
            needed = "where the SIEM is, and the authority of its certificate (PEM)"
            _refuse(f" has no {key}", needed, f"add {key}")
    for key in ("host", "name"):
        if siem.get(key) and not _NAME.fullmatch(str(siem[key])):
            _refuse(f".{key} is {siem[key]!r}", "a host name or an address", "correct it")
    if not re.fullmatch(r"[1-9][0-9]{0,4}", str(siem.get("port", 1))):
        _refuse(f".port is {siem['port']!r}", "a port, or none for that of RFC 5425", "correct it")
    if bool(siem.get("certificate")) != bool(siem.get("key")):
        _refuse(" has one of certificate and key", "both, or neither", "add the other one")
    _check_pem(siem)


def _check_pem(siem: dict) -> None:
    """Paths are given where contents belong."""
    read = "read the file with lookup('ansible.builtin.file', ...)"
    for key in ("ca", "certificate"):
        try:
            not_after_of_pem(str(siem.get(key) or siem["ca"]))
        except (CertificateError, ValueError):
            _refuse(f".{key} is no certificate", "the content of a PEM file", read)
    if siem.get("key") and not _KEY.search(str(siem["key"])):
        _refuse(".key is no private key", "the content of a PEM file", read)


def _refuse(found: str, expected: str, action: str) -> None:
    raise SiemError(f"logs_siem{found}", expected, action)
