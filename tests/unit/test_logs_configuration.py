# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""rsyslog's configuration, as the role logs renders it."""

from __future__ import annotations

import pytest
import support
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.logs import resolved

SHIPPER = {
    "inventory_hostname": "app 1",
    "__logs_collector": "intranet-log_collector:6514",
    "__logs_audit_binds": ["/d/gateway/audit:/audit:ro,z"],
    "platform_log_shipper_port": 6515,
}
COLLECTOR = {
    "inventory_hostname": "app1",
    "platform_log_collector_port": 6514,
    "platform_log_collector_metrics_port": 6516,
}
SIEM = {"host": "siem.example.internal", "ca": support.PEM}


def shipper(**changes):
    return support.render_template("logs", "shipper.conf.j2", **{**SHIPPER, **changes})


def collector(siem=None, **changes):
    told = {"__logs_siem": resolved(siem, 6514) if siem else {}}
    return support.render_template("logs", "collector.conf.j2", **COLLECTOR, **told, **changes)


@pytest.mark.parametrize(
    ("place", "target", "port"),
    [
        ("intranet-log_collector:6514", "intranet-log_collector", "6514"),
        ("10.0.0.5:7514", "10.0.0.5", "7514"),
        ("[fd00::5]:6514", "fd00::5", "6514"),
    ],
)
def test_the_shipper_sends_to_the_collector_and_checks_its_name(place, target, port):
    text = shipper(__logs_collector=place)
    assert (
        text.count(f"syslog-send {target} {port} log-collector.intranet-mcp /secrets/ca.crt") == 2
    )


def test_audit_lines_are_read_where_a_gateway_runs():
    assert 'file="/audit/audit.jsonl*"' in shipper()
    assert "/audit/audit.jsonl" not in shipper(__logs_audit_binds=[])


def test_a_hosts_name_has_no_blank_in_it():
    assert "%$.time% app_1 gateway - audit - " in shipper()


def test_queues_take_no_more_disk_than_they_may():
    for text in (shipper(logs_queue_mb=7), collector(SIEM, logs_queue_mb=7)):
        assert text.count('queue.maxDiskSpace="7m"') == text.count("queue.fileName=") == 2


def test_without_a_siem_nothing_is_sent_on():
    assert "syslog-send" not in collector()


def test_each_serves_its_numbers_at_its_port_of_the_catalog():
    assert 'binary="/usr/local/bin/log-metrics 6515"' in shipper()
    assert 'binary="/usr/local/bin/log-metrics 6516"' in collector()


def test_the_siems_name_is_its_host_unless_said():
    here = "siem.example.internal"
    assert f'syslog-send {here} 6514 {here} /secrets/siem-ca.crt"' in collector(SIEM)
    text = collector({**SIEM, "host": "10.0.0.9", "port": 7000, "name": "siem.lan"})
    assert 'syslog-send 10.0.0.9 7000 siem.lan /secrets/siem-ca.crt"' in text


def test_the_platform_proves_itself_where_it_has_a_certificate():
    key = support.PEM.replace("CERTIFICATE", "PRIVATE KEY")
    text = collector({**SIEM, "certificate": support.PEM, "key": key})
    assert text.count("siem-ca.crt /secrets/siem-own.crt /secrets/siem-own.key") == 2
