# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Results of the probes as one report: a row a check, and a verdict over all."""

from __future__ import annotations

PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"


def report(http: list[dict], llm: list[dict], mcp: list[dict], at: str) -> dict:
    """One report of everything verify measured.

    http, llm, mcp: results as Ansible registers them, from uri, llm_health and mcp_health loops.
    at: when, ISO 8601. Returns {at, passed, failed, unknown, checks}; a probe that did not run is
    unknown, which is never passed.
    """
    checks = [_http_row(result) for result in http]
    for result in llm:
        checks += _llm_rows(result)
    for result in mcp:
        checks += _mcp_rows(result)
    counts = {
        status: sum(check["status"] == status for check in checks)
        for status in (PASSED, FAILED, UNKNOWN)
    }
    return {"at": at, **counts, "checks": checks}


def model_checks(model: dict, chat_checks: list[str]) -> dict:
    """A declared model as llm_health takes it."""
    is_embedding = model.get("embedding") or model.get("mode") == "embedding"
    return {
        "name": model.get("model_name") or model["name"],
        "checks": ["models", "embedding"] if is_embedding else chat_checks,
    }


def server_checks(server: dict) -> dict:
    """An entry of mcp_servers ({key, value}) as a probe of that server alone."""
    expect = server["value"].get("expect", {})
    probe = {"name": server["key"], "path": f"/servers/{server['key']}/mcp", "eras": ["auto"]}
    return {**probe, **{key: expect[key] for key in ("tools", "call") if key in expect}}


def table(found: dict) -> list[str]:
    """The report as lines for a terminal, failures last, where they are seen."""
    order = {PASSED: 0, UNKNOWN: 1, FAILED: 2}
    rows = sorted(found["checks"], key=lambda check: order[check["status"]])
    width = max((len(row["name"]) for row in rows), default=0)
    lines = []
    for row in rows:
        took = f"{row['milliseconds']:>8.0f} ms" if row.get("milliseconds") else " " * 11
        lines.append(f"{row['status']:<8} {row['name']:<{width}} {took}  {_short(row['found'])}")
        if row["status"] != PASSED:
            lines.append(f"{'':<8} expected: {row['expected']}")
            if row.get("action"):
                lines.append(f"{'':<8} do: {row['action']}")
    return lines


def _http_row(result: dict) -> dict:
    item = result["item"]
    status = result.get("status")
    expected = item.get("status", 200)
    row = {
        "name": item["name"],
        "found": f"HTTP {status}" if status and status > 0 else result.get("msg", "no answer"),
        "expected": f"HTTP {expected} from {item['url']}",
        "milliseconds": round(result.get("elapsed", 0) * 1000),
        "action": "",
        "status": PASSED if status == expected else FAILED,
    }
    if result.get("skipped"):
        row.update(status=UNKNOWN, found="not asked")
    elif row["status"] == FAILED:
        row["action"] = "read the log of the container: docker logs " + item["container"]
    return row


def _llm_rows(result: dict) -> list[dict]:
    if "checks" not in result:
        return [_not_run("llm", result)]
    return [
        {
            "name": f"llm {check['name']}" + (f" {check['model']}" if check["model"] else ""),
            **{key: check[key] for key in ("status", "found", "expected", "action")},
            "milliseconds": check["milliseconds"],
            "first_ms": check["first_ms"],
        }
        for check in result["checks"]
    ]


def _mcp_rows(result: dict) -> list[dict]:
    name = f"mcp {result['item']['name']}"
    sessions = result.get("sessions", [])
    rows = [_session_row(name, session) for session in sessions]
    rows += [
        {
            "name": f"{name} {check['name']}" + (f" ({check['era']})" if check.get("era") else ""),
            "status": check["status"],
            "found": str(check.get("found", "")),
            "expected": str(check.get("expected", "")),
            "action": "" if check["status"] == PASSED else str(check.get("action", "")),
        }
        for check in result.get("checks", [])
    ]
    is_broken = result.get("failed") and not any(row["status"] == FAILED for row in rows)
    return [*rows, _not_run(name, result)] if is_broken or not rows else rows


def _session_row(name: str, session: dict) -> dict:
    return {
        "name": f"{name} session ({session['era']})",
        "status": PASSED,
        "found": f"{session['protocol_version']}, {len(session['tools'])} tools",
        "expected": "a session",
        "action": "",
        "milliseconds": sum(session.get("latency_ms", {}).values()),
    }


def _not_run(name: str, result: dict) -> dict:
    error = result.get("error") or {}
    return {
        "name": name,
        "status": UNKNOWN if result.get("skipped") else FAILED,
        "found": error.get("found") or result.get("msg", "no result"),
        "expected": error.get("expected", "a result"),
        "action": error.get("action", ""),
    }


def _short(text: str, width: int = 90) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"
