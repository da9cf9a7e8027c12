# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""HAProxy's way to the primary of PostgreSQL and Redis, as sections after its other ones. Pure.

Clients know one address and nothing of members. Each member is asked every second whether it is the
primary; connections to one that no longer is are cut, so that nobody goes on with it.
"""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.balancer.pools import server_name

CHECK_SECONDS = 1
# Connections of pools rest for long; TCP's own keep-alive finds the dead ones.
IDLE_HOURS = 24

DEFAULTS = f"""\
defaults leaders
    mode tcp
    log global
    option tcplog
    option dontlognull
    option clitcpka
    option srvtcpka
    timeout connect 2s
    timeout check 2s
    timeout client {IDLE_HOURS}h
    timeout server {IDLE_HOURS}h
    default-server check inter {CHECK_SECONDS}s fall 2 rise 1 on-marked-down shutdown-sessions
"""
RESOLVERS = """\
resolvers leaders
    nameserver engine 127.0.0.11:53
    hold valid 1s
    hold nx 1s
"""
# Redis says itself what it is. The user may do nothing else, so its password is no secret.
REDIS_CHECK = r"""
    option tcp-check
    tcp-check connect
    tcp-check send "AUTH balancer balancer\r\n"
    tcp-check expect string +OK
    tcp-check send "ROLE\r\n"
    tcp-check expect rstring ^\*[0-9]+\r\n\$6\r\nmaster
"""


def render(leaders: list[dict]) -> str:
    """Return the sections, or nothing where no service has a primary among several.

    leaders: {service, port, path, servers: [{name, address, is_name, check_port}]}; without a path
    the service itself is asked.
    """
    if not leaders:
        return ""
    has_names = any(s["is_name"] for leader in leaders for s in leader["servers"])
    return (RESOLVERS if has_names else "") + DEFAULTS + "".join(map(_listen, leaders))


def _listen(leader: dict) -> str:
    lines = [f"listen {leader['service']} from leaders\n", f"    bind :{leader['port']}\n"]
    if leader["path"]:
        lines += [
            "    option httpchk\n",
            f"    http-check send meth GET uri {leader['path']} ver HTTP/1.1 hdr Host balancer\n",
            "    http-check expect status 200\n",
        ]
    else:
        lines.append(REDIS_CHECK.lstrip("\n"))
    return "".join(lines + [_server(server) for server in leader["servers"]])


def _server(server: dict) -> str:
    line = f"    server {server_name(server['name'])} {server['address']}"
    if server["check_port"]:
        line += f" port {server['check_port']}"
    if server["is_name"]:
        line += " resolvers leaders resolve-prefer ipv4 init-addr last,libc,none"
    return line + "\n"
