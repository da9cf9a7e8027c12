# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Alert rules, each with what it means and what to do. Pure.

What to do is doctor's sentence for that cause, as far as doctor knows the cause; a test compares
them. `<name>` in an expression or a text is a setting, `{{ }}` is Prometheus's own.
"""

from __future__ import annotations

import re

from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.rule import ALWAYS, Rule
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.rules_hosts import DATA, HOSTS
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.rules_models import (
    BUDGETS,
    MODELS,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.rules_services import (
    ENTRY_POINTS,
    ITSELF,
    SERVICES,
    TOOLS,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.text import as_yaml

GROUPS = {
    "services": SERVICES,
    "hosts": HOSTS,
    "data": DATA,
    "entry points": ENTRY_POINTS,
    "tools": TOOLS,
    "models": MODELS,
    "budgets": BUDGETS,
    "monitoring": ITSELF,
}


def rules(settings: dict) -> str:
    """Render rules.yml.

    settings: prefix (of containers' names), and each bound that a rule names.
    """
    groups = [
        {"name": name, "rules": [_rendered(rule, settings) for rule in group]}
        for name, group in GROUPS.items()
    ]
    return as_yaml({"groups": groups})


def runbook(rule: Rule) -> str:
    """What to do, and what finds the cause."""
    if rule.severity == ALWAYS:
        return rule.action
    return f"{rule.doctor or rule.action}. `make doctor` inspects the platform and names the cause."


def _rendered(rule: Rule, settings: dict) -> dict:
    texts = {
        "summary": rule.summary,
        "description": rule.description,
        "runbook": runbook(rule),
    }
    return {
        "alert": rule.name,
        "expr": _filled(rule.expr, settings),
        "for": rule.lasting,
        "labels": {"severity": rule.severity},
        "annotations": {name: _filled(text, settings) for name, text in texts.items()},
    }


def _filled(text: str, settings: dict) -> str:
    return re.sub(r"<(\w+)>", lambda match: str(settings[match[1]]), text)
