# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Large files go without SSH's compression, and arrive all the same where that is not possible."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.bulk import plain, uncompressed

# As ansible-core has them.
DEFAULT = "-C -o ControlMaster=auto -o ControlPersist=60s"
PLAIN = "-o ControlMaster=no -o ControlPath=none -o ControlMaster=auto -o ControlPersist=60s"


class Connection:
    """A connection plugin, as far as it is asked; `used` has the arguments of each transfer."""

    def __init__(self, ssh_args, transport="ssh", refuses=()):
        self.transport, self.refuses = transport, refuses
        self.options, self.used = {"ssh_args": ssh_args}, []

    def get_option(self, name):
        return self.options[name]

    def set_option(self, name, value):
        self.options[name] = value

    def send(self):
        self.used.append(self.options["ssh_args"])
        if self.options["ssh_args"] in self.refuses:
            raise AnsibleConnectionFailure("no second connection")
        return "sent"


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


def test_a_host_that_accepts_no_second_connection_gets_it_through_the_first():
    connection = Connection(DEFAULT, refuses=[PLAIN])
    assert uncompressed(connection, connection.send) == "sent"
    assert connection.used == [PLAIN, DEFAULT]


def test_a_host_that_is_away_is_reported_as_ever():
    connection = Connection(DEFAULT, refuses=[PLAIN, DEFAULT])
    with pytest.raises(AnsibleConnectionFailure):
        uncompressed(connection, connection.send)


def test_other_connections_have_no_such_arguments():
    connection = Connection(DEFAULT, transport="local")
    connection.get_option = None
    assert uncompressed(connection, connection.send) == "sent"
