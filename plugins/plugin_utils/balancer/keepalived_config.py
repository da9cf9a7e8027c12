# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""keepalived's configuration as text: one VRRP instance, by unicast, without authentication. Pure.

Every balancer begins as a backup and none preempts, so that the address moves once when its holder
dies and not again when that one comes back. Whose HAProxy does not answer is at fault: it gives the
address away at once, and takes none.

VRRP's passwords protect nobody (version 3 has none). Adverts count only from the peers' addresses,
and the firewall lets protocol 112 in from nobody else.
"""

from __future__ import annotations

INSTANCE = "balancer"
# What keepalived-start writes: the interface of the host's own address.
INTERFACE = "/run/keepalived/interface.conf"
# A lost advert is nothing; the third in a row moves the address, after three and a half seconds.
ADVERT_SECONDS = 1


def render(sharing: dict, settings: dict) -> str:
    """The file.

    sharing: address, peers, priority, addresses, excluded, as `topology.shared_address.sharing`
    returns.
    settings: router_id, alive_port (where HAProxy answers for itself, on loopback).
    """
    return "\n".join(
        [
            "# Written by the load_balancer role; changes here are overwritten.",
            f"include {INTERFACE}",
            *_globals(),
            *_check(settings["alive_port"]),
            *_instance(sharing, settings["router_id"]),
            "",
        ]
    )


def _globals() -> list[str]:
    return _block(
        "global_defs",
        [
            "vrrp_version 3",
            "vrrp_check_unicast_src",
            # Neighbours and switches may miss the first announcement of a move.
            "vrrp_garp_master_refresh 30",
            "enable_script_security",
            "script_user root",
        ],
    )


def _check(port: int) -> list[str]:
    return _block(
        "vrrp_script haproxy",
        [
            f'script "/usr/local/bin/haproxy-answers {port}"',
            "interval 1",
            "timeout 2",
            "fall 2",
            "rise 2",
            # Until its first answers an address is not taken.
            "init_fail",
        ],
    )


def _instance(sharing: dict, router_id: int) -> list[str]:
    addresses = {
        "virtual_ipaddress": sharing["addresses"],
        "virtual_ipaddress_excluded": sharing["excluded"],
    }
    return _block(
        f"vrrp_instance {INSTANCE}",
        [
            "state BACKUP",
            "nopreempt",
            "interface $INTERFACE",
            f"virtual_router_id {router_id}",
            f"priority {sharing['priority']}",
            f"advert_int {ADVERT_SECONDS}",
            f"unicast_src_ip {sharing['address']}",
            "track_src_ip",
            *_block("unicast_peer", sharing["peers"]),
            *_block("track_script", ["haproxy"]),
            *[
                line
                for title, found in addresses.items()
                if found
                for line in _block(title, map(_address, found))
            ],
            'notify "/usr/local/bin/keepalived-note"',
        ],
    )


def _address(text: str) -> str:
    # What this host begins itself goes out from its own address, which others' firewalls know.
    return f"{text} preferred_lft 0" if ":" in text else text


def _block(title: str, lines) -> list[str]:
    return [f"{title} {{", *[f"    {line}" for line in lines], "}"]
