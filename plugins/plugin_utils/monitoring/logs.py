# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where logs go outside the platform. Pure."""

from __future__ import annotations

import re

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError

KEYS = {"host", "port", "name", "ca", "certificate", "key"}
# They stand between quotes in rsyslog's configuration.
_NAME = re.compile(r"[A-Za-z0-9._:*-]+")


class SiemError(ServiceError):
    """A logs_siem that cannot be used; it never says a key."""

    reason = "siem"


def place(siem: dict, port: int) -> str:
    """Return logs_siem's address as `egress` of the catalog takes it, once it can be used."""
    host, port = (resolved(siem, port)[key] for key in ("host", "port"))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def resolved(siem: dict, port: int) -> dict:
    """Return logs_siem with a port and the name in its certificate, or say what it lacks."""
    if unknown := sorted(set(siem) - KEYS):
        raise SiemError(
            f"logs_siem has the key {unknown[0]!r}",
            f"only {', '.join(sorted(KEYS))}",
            "correct its name, or leave it out",
        )
    for key in ("host", "ca"):
        if not siem.get(key):
            raise SiemError(
                f"logs_siem has no {key}",
                "where the SIEM is, and the authority of its certificate (PEM)",
                f"add {key}",
            )
    for key in ("host", "name"):
        if siem.get(key) and not _NAME.fullmatch(siem[key]):
            raise SiemError(
                f"logs_siem.{key} is {siem[key]!r}",
                "a host name or an address",
                "correct it",
            )
    if bool(siem.get("certificate")) != bool(siem.get("key")):
        raise SiemError(
            "logs_siem has one of certificate and key",
            "both, or neither",
            "add the other one",
        )
    return {"port": port, "name": siem["host"], **siem}
