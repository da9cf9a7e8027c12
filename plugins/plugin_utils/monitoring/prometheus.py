# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Prometheus's configuration, out of what the catalog says of targets. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.text import as_yaml

# How each exporter is asked about another service: path, parameters, and its target's form.
EXPORTERS = {
    "postgres_exporter": ("/probe", {"auth_module": ["platform"]}, "{address}/postgres"),
    "redis_exporter": ("/scrape", {}, "redis://{address}"),
    "ollama_exporter": ("/probe", {}, "http://{address}"),
    "blackbox_exporter": ("/probe", {"module": ["ready"]}, "{scheme}://{address}{path}"),
}


class ConfigError(ServiceError):
    """What was asked for cannot be configured."""

    reason = "monitoring"


def config(jobs: list[dict], settings: dict) -> str:
    """Render prometheus.yml.

    jobs: what `targets.jobs` returns. settings: interval_seconds, and alertmanagers (addresses).
    """
    interval = settings["interval_seconds"]
    made = {
        "global": {
            "scrape_interval": f"{interval}s",
            # An exporter that waits for what is away has to say so in time.
            "scrape_timeout": f"{min(interval, 10)}s",
            "evaluation_interval": f"{interval}s",
        },
        "rule_files": ["/config/rules.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": settings["alertmanagers"]}]}]
        },
        "scrape_configs": [_scrape(job) for job in jobs],
    }
    return as_yaml(made)


def secrets(jobs: list[dict]) -> list[str]:
    """Names of the secrets that the jobs need."""
    return list(dict.fromkeys(job["secret"] for job in jobs if job["secret"]))


def _scrape(job: dict) -> dict:
    if job["exporter"]:
        return _through(job)
    scrape = {"job_name": job["name"], "metrics_path": job["path"]}
    if job["secret"]:
        scrape["authorization"] = {"credentials_file": f"/secrets/{job['secret']}"}
    return scrape | {"static_configs": _targets(job, "{address}")}


def _through(job: dict) -> dict:
    """A job whose targets an exporter asks: it is told which by the parameter `target`."""
    exporter = job["exporter"]["service"]
    if exporter not in EXPORTERS:
        raise ConfigError(
            f"platform_services.{job['service']} has the exporter {exporter!r}",
            f"one of {', '.join(EXPORTERS)}",
            "name one of them, or give the service `metrics`",
        )
    path, parameters, form = EXPORTERS[exporter]
    return {
        "job_name": job["name"],
        "metrics_path": path,
        **({"params": parameters} if parameters else {}),
        "static_configs": _targets(job, form),
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__param_target"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": job["exporter"]["address"]},
        ],
    }


def _targets(job: dict, form: str) -> list[dict]:
    return [
        {
            "targets": [
                form.format(
                    address=target["address"], path=job["path"], scheme=job.get("scheme", "http")
                )
            ],
            "labels": {"service": job["service"], "host": target["host"]},
        }
        for target in job["targets"]
    ]
