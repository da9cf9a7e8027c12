# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.host.facts import listening


def test_listeners_are_read_from_the_kernels_table():
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
    row = "   {n}: {address} 00000000:0000 {state} 0:0 00:00000000 00000000 0 0 {inode} 1"
    sockets = [
        ("0100007F:1F90", "0A"),
        ("00000000:0016", "0A"),
        ("0500000A:1F90", "01"),
        ("0" * 32 + ":1F91", "0A"),
        ("0500000A:1F92", "0A"),
    ]
    table = head + "\n".join(
        row.format(n=n, address=address, state=state, inode=n)
        for n, (address, state) in enumerate(sockets)
    )
    assert [(x["address"], x["port"], x["inode"]) for x in listening(table)] == [
        ("127.0.0.1", 8080, "0"),
        ("0.0.0.0", 22, "1"),
        ("::", 8081, "3"),
        ("10.0.0.5", 8082, "4"),
    ]
