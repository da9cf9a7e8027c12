# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Versions that may run, and those that never may. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.host.release import numbers

# name -> (lowest version per major or overall, versions never to run, why). Only a version that is
# named in `preflight_allow_versions` gets past this table.
RULES: dict[str, dict] = {
    "litellm": {
        "floors": ["1.84.0"],
        "blocked": {
            "1.82.7": "carried malware",
            "1.82.8": "carried malware",
            "1.107.0": "is quarantined",
        },
    },
    "ollama": {"floors": ["0.17.1"], "why": "CVE-2026-7482"},
    "mcp": {"floors": ["1.30.0", "2.2.0"]},
    "@modelcontextprotocol/sdk": {"floors": ["1.26.0"]},
    "@modelcontextprotocol/server-filesystem": {"floors": ["2025.7.1"]},
    "nvidia-container-toolkit": {"floors": ["1.17.8"]},
}


def version_problems(versions: dict[str, str], allowed: dict[str, str]) -> list[Finding]:
    """Versions that must not run, unless exactly this one is allowed by name."""
    problems = []
    for name, version in sorted(versions.items()):
        reason = _refused(RULES.get(name, {}), str(version))
        if reason and str(allowed.get(name)) != str(version):
            problems.append(
                Finding(
                    "versions",
                    f"{name} {version} {reason}",
                    _floor_text(RULES[name]),
                    f"choose another, or accept it by name: preflight_allow_versions: "
                    f"{{{name}: {version}}}",
                )
            )
    return problems


def _refused(rule: dict, version: str) -> str:
    if version in rule.get("blocked", {}):
        return rule["blocked"][version]
    floors = sorted(map(numbers, rule.get("floors", [])))
    if not floors:
        return ""
    number = numbers(version)
    # A floor holds within its own major version; older majors are below every floor.
    floor = next((f for f in reversed(floors) if f[0] <= number[0]), floors[0])
    why = f" ({rule['why']})" if rule.get("why") else ""
    return f"is too old{why}" if number < floor else ""


def _floor_text(rule: dict) -> str:
    text = "at least " + " or ".join(rule["floors"])
    blocked = rule.get("blocked", {})
    return f"{text}, never {', '.join(blocked)}" if blocked else text
