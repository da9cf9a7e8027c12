# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Alert rules, each with what it means and what to do. Pure.

What to do is doctor's sentence for that cause, as far as doctor knows the cause; a test compares
them. `<name>` in an expression or a text is a setting, `{{ }}` is Prometheus's own.
"""

from __future__ import annotations

import re

from ansible_collections.intranet.mcp.plugins.module_utils.common.x509 import not_after_of_pem
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


# Until when a certificate on the control node is valid. It is known when the rules are written, and
# no service has to be asked for it.
NOT_AFTER = "platform_certificate_not_after_seconds"


def rules(settings: dict, certificates: dict[str, str]) -> str:
    """Render rules.yml.

    settings: prefix (of containers' names), and each bound that a rule names. certificates: PEM of
    those on the control node, by name of their file.
    """
    groups = [
        {
            "name": name,
            "rules": [rendered(rule, settings) for rule in group if _is_on(rule, settings)],
        }
        for name, group in GROUPS.items()
    ]
    known = [_known(file, pem) for file, pem in certificates.items()]
    return as_yaml({"groups": [{"name": "certificates", "rules": known}, *groups]})


def _known(file: str, pem: str) -> dict:
    expr = f"vector({not_after_of_pem(pem)})"
    return {"record": NOT_AFTER, "expr": expr, "labels": {"file": file}}


def _is_on(rule: Rule, settings: dict) -> bool:
    # A number of the inventory may come as text.
    return not rule.only_with or int(settings[rule.only_with]) > 0


def runbook(rule: Rule) -> str:
    """What to do, and what finds the cause."""
    if rule.severity == ALWAYS:
        return rule.action
    return f"{rule.doctor or rule.action}. `make doctor` inspects the platform and names the cause."


def rendered(rule: Rule, settings: dict) -> dict:
    """Return a rule as Prometheus reads it."""
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
