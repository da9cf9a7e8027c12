# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Prometheus's configuration, out of what the catalog says of targets. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.targets import PROBER
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.text import as_yaml

# How each exporter is asked about another service: path, parameters, and its target's form.
EXPORTERS = {
    "postgres_exporter": ("/probe", {"auth_module": ["platform"]}, "{address}/postgres"),
    "redis_exporter": ("/scrape", {}, "redis://{address}"),
    "ollama_exporter": ("/probe", {}, "http://{address}"),
    "blackbox_exporter": ("/probe", {"module": ["ready"]}, "{scheme}://{address}{path}"),
}

# The job that sees the certificates of what is not the platform's own.
CERTIFICATES = "certificates"


class ConfigError(ServiceError):
    """What was asked for cannot be configured."""

    reason = "monitoring"


def config(jobs: list[dict], settings: dict) -> str:
    """Render prometheus.yml.

    jobs: what `targets.jobs` returns. settings: interval_seconds, alertmanagers (addresses), and
    certificates: urls (https addresses), prober (the blackbox exporter's address) and host (its
    host).
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
        "scrape_configs": [
            *map(_scrape, jobs),
            *_certificates(settings["certificates"]),
        ],
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


def _certificates(settings: dict) -> list[dict]:
    """The job that sees certificates elsewhere; none where there is none."""
    places = list(dict.fromkeys(map(_place, settings["urls"])))
    if not places:
        return []
    # That it does not answer is the exporter's fault; of an address that is away nothing is said.
    labels = {"service": PROBER, "container": PROBER, "host": settings["host"]}
    return [
        {
            "job_name": CERTIFICATES,
            "metrics_path": "/probe",
            "params": {"module": ["certificate"]},
            "static_configs": [{"targets": places, "labels": labels}],
            "relabel_configs": _relabelled(settings["prober"]),
        }
    ]


def _place(url: str) -> str:
    """Host and port of an https address."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or 443}"


def _relabelled(exporter: str) -> list[dict]:
    """What makes the target a parameter of the exporter's address."""
    return [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__param_target"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": exporter},
    ]


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
        "relabel_configs": _relabelled(job["exporter"]["address"]),
    }


def _targets(job: dict, form: str) -> list[dict]:
    return [
        {
            "targets": [
                form.format(
                    address=target["address"], path=job["path"], scheme=job.get("scheme", "http")
                )
            ],
            "labels": {
                "service": job["service"],
                "container": job["container"],
                "host": target["host"],
            },
        }
        for target in job["targets"]
    ]
