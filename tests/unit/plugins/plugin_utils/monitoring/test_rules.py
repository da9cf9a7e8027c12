# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Alert rules: what each tells, and that doctor says the same."""

from __future__ import annotations

import ast
import re

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import rules

SETTINGS = {
    "prefix": "net-",
    "error_percent": 5,
    "p95_seconds": 30,
    "balancer_p95_seconds": 1,
    "litellm_p95_seconds": 2,
    "certificate_days": 21,
    "authority_days": 90,
    "connections_percent": 80,
    "first_token_seconds": 60,
    "requests_in_flight": 32,
    "budget_percent": 10,
    "clock_skew_seconds": 60,
    "backup_hours": 26,
    "litellm_memory_mb": 2048,
}
EVERY = [rule for group in rules.GROUPS.values() for rule in group]
each_rule = pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.name)


def doctors_sentences():
    """Return a pattern of each text of doctor's rules, whatever its placeholders hold."""
    texts = []
    folder = support.REPOSITORY / "plugins" / "module_utils" / "examine"
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [getattr(part, "value", "") for part in node.values]
                texts.append("{}".join(p if isinstance(p, str) else "" for p in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    # One of placeholders alone would fit everything.
    telling = [text for text in texts if len(re.sub(r"{\w*}", "", text)) >= 12]
    return [re.sub(r"(\\\{\w*\\\})+", ".+", re.escape(text)) for text in telling]


SENTENCES = doctors_sentences()


@each_rule
def test_what_to_do_is_doctors_sentence_where_doctor_knows_the_cause(rule):
    assert bool(rule.doctor) != bool(rule.action)
    said = rule.doctor.replace("{{ $labels.", "").replace(" }}", "")
    assert not said or any(re.fullmatch(sentence, said) for sentence in SENTENCES), said


def test_a_sentence_that_doctor_does_not_say_is_noticed():
    assert not any(re.fullmatch(sentence, "docker begin redis") for sentence in SENTENCES)


def test_rules_say_what_it_is_what_it_means_and_what_to_do():
    made = yaml.safe_load(rules.rules(SETTINGS, {}))
    alerts = [rule for group in made["groups"] for rule in group["rules"]]
    assert len({alert["alert"] for alert in alerts}) == len(alerts) == len(EVERY)
    for alert in alerts:
        assert set(alert["annotations"]) == {"summary", "description", "runbook"}
        assert all(alert["annotations"].values())
    texts = yaml.safe_dump(made, width=10000)
    assert re.findall(r"<\w+>", texts) == []
    assert "docker start net-{{ $labels.container }}. `make doctor` inspects" in texts


@pytest.mark.parametrize("hours", [0, "0"])
def test_where_nobody_makes_backups_none_is_missed(hours):
    made = rules.rules({**SETTINGS, "backup_hours": hours}, {})
    assert "BackupTooOld" in rules.rules(SETTINGS, {}) and "BackupTooOld" not in made


def test_until_when_certificates_of_the_control_node_are_valid_is_known():
    made = yaml.safe_load(rules.rules(SETTINGS, {"tls/ca.crt": support.PEM}))
    (known,) = made["groups"][0]["rules"]
    assert known == {
        "record": "platform_certificate_not_after_seconds",
        "expr": "vector(1893456000)",
        "labels": {"file": "tls/ca.crt"},
    }
