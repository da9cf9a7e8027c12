# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible_collections.intranet.mcp.plugins.action.firewall import ActionModule


class FakeConnection:
    def __init__(self, transport, error=None):
        self.transport = transport
        self.error = error
        self.resets = 0

    def reset(self):
        self.resets += 1
        if self.error:
            raise self.error


@pytest.fixture
def action(monkeypatch):
    """An action whose module calls answer from a list; `calls` notes their arguments."""

    def make(answers, connection):
        task = SimpleNamespace(args={"flows": []}, async_val=0, check_mode=False, diff=False)
        action = ActionModule(task, connection, SimpleNamespace(), None, None, None)
        action.calls = []

        def execute(module_name, module_args, task_vars):
            action.calls.append(module_args)
            return answers.pop(0)

        monkeypatch.setattr(action, "_execute_module", execute)
        monkeypatch.setattr(
            "ansible.plugins.action.ActionBase.run", lambda self, tmp, task_vars: {}
        )
        return action

    return make


def test_new_rules_are_confirmed_over_a_new_connection(action):
    connection = FakeConnection("ssh")
    subject = action([{"changed": True, "pending": "abc"}, {"changed": False}], connection)
    result = subject.run(task_vars={})
    assert result["changed"]
    assert result["pending"] == ""
    assert connection.resets == 1
    assert subject.calls[1]["confirm"] == "abc"


def test_nothing_new_costs_one_call_and_no_reconnect(action):
    connection = FakeConnection("ssh")
    subject = action([{"changed": False, "pending": ""}], connection)
    subject.run(task_vars={})
    assert len(subject.calls) == 1
    assert connection.resets == 0


def test_a_host_that_no_longer_answers_is_reported_with_what_happens_next(action):
    connection = FakeConnection("ssh", AnsibleConnectionFailure("timed out"))
    subject = action([{"changed": True, "pending": "abc"}], connection)
    with pytest.raises(AnsibleActionFail) as error:
        subject.run(task_vars={})
    assert "takes them back by itself within 30 s" in str(error.value)
    assert "firewall_ssh_ports" in str(error.value)


def test_a_refused_confirmation_fails_the_task(action):
    answers = [{"changed": True, "pending": "abc"}, {"failed": True, "msg": "taken back"}]
    assert action(answers, FakeConnection("local")).run(task_vars={})["failed"]


def test_missing_nft_is_installed_and_the_module_called_again(action, monkeypatch):
    missing = {"failed": True, "reason": "nft_missing"}
    subject = action([missing, {"changed": True, "pending": ""}], FakeConnection("ssh"))
    installed = []
    monkeypatch.setattr(subject, "_install", lambda package, task_vars: installed.append(package))
    assert subject.run(task_vars={})["changed"]
    assert installed == ["nftables"]
