# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
import support
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import logs

SIEM = {"host": "siem.example.internal", "ca": support.PEM}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "siem.example.internal:6514"),
        ({"port": 10514}, "siem.example.internal:10514"),
        ({"host": "fd00::5"}, "[fd00::5]:6514"),
    ],
)
def test_the_place_of_the_siem_is_one_destination(change, expected):
    assert logs.places({**SIEM, **change}, 6514) == [expected]


@pytest.mark.parametrize("siem", [{}, None, "siem:6514", {"host": "siem"}, {**SIEM, "x": 1}])
def test_who_reads_the_catalog_is_not_stopped_by_a_siem_that_cannot_be_used(siem):
    assert logs.places(siem, 6514) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"certificat": "x"}, "has the key 'certificat'"),
        ({"host": ""}, "has no host"),
        ({"ca": ""}, "has no ca"),
        ({"host": 'a" queue.type="Direct'}, "expected a host name or an address"),
        ({"name": "a b"}, "logs_siem.name is 'a b'"),
        ({"key": "SECRET"}, "one of certificate and key"),
        ({"port": "syslog"}, "logs_siem.port is 'syslog'"),
        ({"ca": "/etc/siem-ca.pem"}, "logs_siem.ca is no certificate.*lookup"),
        ({"certificate": "mcp.pem", "key": "SECRET"}, "logs_siem.certificate is no certificate"),
        ({"certificate": support.PEM, "key": "SECRET"}, "logs_siem.key is no private key"),
    ],
)
def test_what_cannot_be_used_is_said_without_a_key(change, message):
    with pytest.raises(logs.SiemError, match=message) as refused:
        logs.check({**SIEM, **change})
    assert "SECRET" not in str(refused.value)
