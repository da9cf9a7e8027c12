# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Large files on their way to hosts over SSH.

Ansible's default arguments of ssh ask for compression (-C), which keeps a core busy at 25 MB/s (an
image's layers, zlib at level 6, measured on an AMD EPYC at 2.4 GHz): a quarter of what a network
of 1 Gbit/s carries. Weights of models hardly get smaller at all.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ansible.errors import AnsibleConnectionFailure
from ansible.utils.display import Display

COMPRESSION = "-C"
# A connection that is there already compresses all that goes through it. What comes first counts.
OF_ITS_OWN = ("-o", "ControlMaster=no", "-o", "ControlPath=none")

# What is known of a connection, noted on it: it lasts as long as a task.
ACCEPTED = "_intranet_mcp_accepts_another"
T = TypeVar("T")
display = Display()


def plain(ssh_args: str) -> str:
    """Return arguments for a connection of its own, without compression; "" if none compresses.

    Pure. Compression that a person's own ~/.ssh/config asks for stays.
    """
    arguments = shlex.split(ssh_args)
    if COMPRESSION not in arguments:
        return ""
    return shlex.join([*OF_ITS_OWN, *(one for one in arguments if one != COMPRESSION)])


@contextlib.contextmanager
def _with_arguments(connection: Any, ssh_args: str) -> Iterator[None]:
    before = connection.get_option("ssh_args")
    connection.set_option("ssh_args", ssh_args)
    try:
        yield
    finally:
        connection.set_option("ssh_args", before)


def uncompressed(connection: Any, send: Callable[[], T]) -> T:
    """Return what `send` returns, after it sent without compression, if the host lets it.

    A host that accepts no second connection (one-time passwords) is asked for one once, and gets
    everything through the first.
    """
    if connection.transport == "ssh" and (
        arguments := plain(connection.get_option("ssh_args") or "")
    ):
        with _with_arguments(connection, arguments):
            if _is_accepted(connection):
                return send()
    return send()


def _is_accepted(connection: Any) -> bool:
    """Whether another connection can be opened; what becomes of files in it is for them to say."""
    known = getattr(connection, ACCEPTED, None)
    if known is None:
        try:
            known = connection.exec_command("true", sudoable=False)[0] == 0
        except AnsibleConnectionFailure as error:
            display.vv(f"sent with compression, as there is no second connection: {error}")
            known = False
        setattr(connection, ACCEPTED, known)
    return known
