# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Large files go without SSH's compression, and arrive all the same where that is not possible."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.bulk import plain, uncompressed

# As ansible-core has them.
DEFAULT = "-C -o ControlMaster=auto -o ControlPersist=60s"
PLAIN = "-o ControlMaster=no -o ControlPath=none -o ControlMaster=auto -o ControlPersist=60s"


class Connection:
    """A connection plugin, as far as it is asked; `used` has the arguments of each transfer."""

    def __init__(self, ssh_args, transport="ssh", refuses=()):
        self.transport, self.refuses = transport, refuses
        self.options, self.used, self.opened = {"ssh_args": ssh_args}, [], 0

    def get_option(self, name):
        return self.options[name]

    def set_option(self, name, value):
        self.options[name] = value

    def exec_command(self, command, sudoable):
        assert (command, sudoable) == ("true", False)
        self.opened += 1
        self._reach()
        return 0, b"", b""

    def send(self):
        self._reach()
        self.used.append(self.options["ssh_args"])
        return "sent"

    def _reach(self):
        if self.options["ssh_args"] in self.refuses:
            raise AnsibleConnectionFailure("no such connection")


def test_compression_goes_and_everything_else_stays():
    assert plain(DEFAULT) == PLAIN
    jump = "-C -o 'ProxyCommand=ssh -W %h:%p \"jump host\"' -F /etc/ssh/x"
    assert plain(jump).endswith("""-o 'ProxyCommand=ssh -W %h:%p "jump host"' -F /etc/ssh/x""")


@pytest.mark.parametrize("args", ["", "-o ControlPersist=60s", "-4"])
def test_arguments_without_compression_are_left_as_they_are(args):
    connection = Connection(args)
    assert plain(args) == ""
    assert uncompressed(connection, connection.send) == "sent"
    assert connection.used == [args]


def test_a_file_goes_through_a_connection_of_its_own_and_later_ones_as_before():
    connection = Connection(DEFAULT)
    assert uncompressed(connection, connection.send) == "sent"
    assert connection.used == [PLAIN]
    assert connection.options["ssh_args"] == DEFAULT


def test_a_host_that_accepts_no_second_connection_is_asked_for_one_once():
    connection = Connection(DEFAULT, refuses=[PLAIN])
    assert [uncompressed(connection, connection.send) for _file in range(3)] == ["sent"] * 3
    assert connection.used == [DEFAULT] * 3 and connection.opened == 1


@pytest.mark.parametrize("refused", [[], [PLAIN, DEFAULT]])
def test_what_fails_is_reported_and_not_tried_again(refused):
    """A full disk is one, too: to send gigabytes once more would not help."""
    connection, tried = Connection(DEFAULT, refuses=refused), []

    def send():
        tried.append(connection.options["ssh_args"])
        raise AnsibleError("failed to transfer file")

    with pytest.raises(AnsibleError):
        uncompressed(connection, send)
    assert tried == [DEFAULT if refused else PLAIN]
    assert connection.options["ssh_args"] == DEFAULT


def test_other_connections_have_no_such_arguments():
    connection = Connection(DEFAULT, transport="local")
    connection.get_option = None
    assert uncompressed(connection, connection.send) == "sent"
