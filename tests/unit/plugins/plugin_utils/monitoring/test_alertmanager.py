# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Receivers as data, and Alertmanager's configuration as it is written."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import alertmanager

HOOK = {"name": "duty", "webhook": "https://duty.example.internal/hook", "watchdog": True}
MAIL = {
    "name": "operators",
    "email": {"to": "a@x", "from": "b@x", "smarthost": "smtp:587", "password": "p"},
}


def written(receivers):
    return yaml.safe_load(alertmanager.config(receivers, repeat_hours=6))


def test_without_receivers_alerts_are_only_shown():
    made = written([])
    assert made["receivers"] == [{"name": "nobody"}]
    assert made["route"]["receiver"] == "nobody"


def test_every_receiver_gets_every_alert():
    made = written([HOOK, MAIL])
    _watchdog, *others = made["route"]["routes"]
    assert others == [
        {"receiver": "duty", "continue": True},
        {"receiver": "operators", "continue": True},
    ]
    assert made["route"]["repeat_interval"] == "6h"
    assert made["receivers"][1]["webhook_configs"] == [
        {"url": "https://duty.example.internal/hook", "send_resolved": True}
    ]
    (email,) = made["receivers"][2]["email_configs"]
    assert email["auth_password"] == "p"
    assert email["require_tls"] is True


def test_only_who_asks_for_it_gets_the_alert_that_never_ends():
    watchdog = written([HOOK, MAIL])["route"]["routes"][0]
    assert watchdog["matchers"] == ['alertname="Watchdog"']
    assert [route["receiver"] for route in watchdog["routes"]] == ["duty"]


ROBOTS = {
    "name": "on duty",
    "wecom": {"url": "https://w.example.internal/?key=a"},
    "feishu": {"url": "https://f.example.internal/b", "secret": "c"},
}


def test_chat_robots_get_alerts_through_the_relay_which_alone_knows_their_addresses():
    made = alertmanager.config([ROBOTS], relay="http://net-alert_relay:9094")
    assert yaml.safe_load(made)["receivers"][1]["webhook_configs"] == [
        {"url": f"http://net-alert_relay:9094/on%20duty-{kind}", "send_resolved": True}
        for kind in ("wecom", "feishu")
    ]
    assert "example.internal" not in made
    assert alertmanager.robots([ROBOTS, HOOK]) == {
        "on%20duty-wecom": {"kind": "wecom", "url": "https://w.example.internal/?key=a"},
        "on%20duty-feishu": {"kind": "feishu", **ROBOTS["feishu"]},
    }


@pytest.mark.parametrize(
    ("receiver", "said"),
    [
        ({"name": "a", "wehbook": "x"}, "a has the key 'wehbook'"),
        ({"webhook": "https://x"}, "[?] has no name of its own"),
        ({"name": "nobody", "webhook": "https://x"}, "nobody has no name of its own"),
        ({"name": "a"}, "a has neither webhook nor email nor a robot"),
        ({"name": "a", "wecom": "https://x"}, "a wecom without a web address"),
        ({"name": "a", "feishu": {"url": "file:///x"}}, "a feishu without a web address"),
        ({"name": "a", "dingtalk": {"url": "https://x", "sign": "y"}}, "with the key 'sign'"),
        ({"name": "a", "email": {"to": "x", "from": "y"}}, "an email without 'smarthost'"),
        ({"name": "a", "email": {**MAIL["email"], "smarthost": "smtp"}}, "without a port"),
        ({"name": "a", "email": {"server": "x"}}, "the key 'server'"),
        ({"name": "a", "email": "a@x"}, "an email that is no mapping"),
        ({"name": "a", "webhook": "duty.example.internal/hook"}, "webhook that is no web address"),
        ({"name": "a", "webhook": {"url": "https://x"}}, "webhook that is no web address"),
        ("duty", "an entry is no mapping"),
    ],
)
def test_a_receiver_that_makes_no_sense_is_one_clear_message(receiver, said):
    with pytest.raises(alertmanager.ReceiverError, match=said):
        written([receiver])


def test_two_receivers_of_one_name_are_refused_as_alertmanager_would():
    with pytest.raises(alertmanager.ReceiverError, match="duty is there twice"):
        written([HOOK, MAIL, HOOK])


@pytest.mark.parametrize("receivers", [None, [], ["duty"], [{"name": "a", "wecom": "https://x"}]])
def test_who_reads_the_catalog_is_not_stopped_by_a_receiver_that_makes_no_sense(receivers):
    assert alertmanager.robots(receivers) == {}
    assert written(None) == written([])
