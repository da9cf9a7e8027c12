# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What modules read of the host they run on."""

from __future__ import annotations

import os


def port_holders(ports: set[int], containers: list[dict]) -> list[dict]:
    """Who listens on these ports; processes are looked up only where somebody does.

    containers: as the engine lists them. Returns {address, port, inode, holder, container} each.
    """
    table = read("/proc/net/tcp"), read("/proc/net/tcp6")
    found = [x for text in table for x in listening(text) if x["port"] in ports]
    holders = socket_holders({x["inode"] for x in found}) if found else {}
    names = {c["Id"]: c["Names"][0].lstrip("/") for c in containers if c.get("Names")}
    for listener in found:
        pid = holders.get(listener["inode"])
        if pid:
            listener["holder"] = f"{read(f'/proc/{pid}/comm').strip()} (process {pid})"
            group = read(f"/proc/{pid}/cgroup")
            listener["container"] = next((n for i, n in names.items() if i in group), "")
    return found


def listening(table: str) -> list[dict]:
    """Listeners of /proc/net/tcp or tcp6, each with address, port and inode."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == "0A":
            address, _colon, port = fields[1].partition(":")
            found.append({"address": _address(address), "port": int(port, 16), "inode": fields[9]})
    return found


def _address(text: str) -> str:
    """The kernel's hexadecimal address: wildcard and loopback by name, others as they stand."""
    if not text.strip("0"):
        return "::" if len(text) > 8 else "0.0.0.0"  # noqa: S104
    known = {"0100007F": "127.0.0.1", "00000000000000000000000001000000": "::1"}
    if text in known or len(text) > 8:
        return known.get(text, text)
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(text)))


def socket_holders(inodes: set[str]) -> dict[str, str]:
    """Socket inode -> process id."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
        except OSError:  # it ended meanwhile, or we are not root
            continue
        for link in links:
            if link.startswith("socket:[") and link[8:-1] in inodes:
                found.setdefault(link[8:-1], pid)
    return found


def nearest(path: str) -> str:
    """The path, or its nearest ancestor that exists."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def read(path: str) -> str:
    """The file's text, empty where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
