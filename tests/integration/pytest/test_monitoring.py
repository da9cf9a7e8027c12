# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Prometheus and Alertmanager as the roles deploy them, in front of real services that break."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.examine import probe_monitoring
from ansible_collections.intranet.mcp.plugins.module_utils.examine.monitoring import (
    Undelivered,
    Watcher,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.rules_hosts import BACKUP
from conftest import http_status, image, wait_until
from servers.mailbox import Mailbox
from test_model_sources import free_port

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="roles hand files to the users of containers"),
]

# What runs. LiteLLM's and Ollama's hosts are declared, and nothing of them is there.
SERVICES = ["postgres", "redis", "gateway", "postgres_exporter", "redis_exporter"]
SERVICES += ["ollama_exporter", "blackbox_exporter", "node_exporter"]
SERVICES += ["alert_relay", "alertmanager", "prometheus"]
ABSENT = {"litellm", "ollama"}
JOBS = {*SERVICES, "gateway ready", *ABSENT, *(f"{name} ready" for name in ABSENT)}
JOBS -= {"ollama_exporter", "alert_relay"}  # they tell nothing of themselves
# A relay of one's own network, which asks for neither TLS nor a login.
MAIL = {"to": "ops@example.internal", "from": "mcp@example.internal", "require_tls": False}
PLAY = """
- hosts: here
  gather_facts: false
  roles: [intranet.mcp.platform]
  tasks:
    - include_role: {name: "intranet.mcp.{{ item }}"}
      loop: [postgres, redis, gateway, exporters, node_exporter, prometheus]
"""


class Receiver(support.FakeService):
    """Takes the alerts that Alertmanager posts, as a company's service for them would."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.replies["POST", "/hook"] = (200, {})
        self.replies["POST", "/robot"] = (200, {"code": 0})

    def alerts(self, status: str) -> dict[tuple[str, str], dict]:
        """Return the alerts received with this status, by name and service."""
        found = [alert for post in self.seen("POST", "/hook") for alert in post.json()["alerts"]]
        return {
            (alert["labels"]["alertname"], alert["labels"].get("service", "")): alert
            for alert in found
            if alert["status"] == status
        }

    def said_by_robots(self) -> str:
        """Return the texts that a robot of Feishu was handed."""
        cards = [exchange.json()["card"] for exchange in self.seen("POST", "/robot")]
        return "\n".join(element["content"] for card in cards for element in card["elements"])


class Site:
    """A small platform on this machine, with a monitoring."""

    groups = ("postgres", "redis", "ollama", "litellm", "gateway", "monitoring")

    def __init__(self, docker, folder: Path, url: str, smarthost: str = "127.0.0.1:9") -> None:
        self.docker, self.folder = docker, folder
        self.prefix = f"itest-{docker.suffix}-"
        docker.containers += [f"{self.prefix}{name}" for name in SERVICES]
        (folder / "play.yml").write_text(PLAY)
        ports = {name: free_port("127.0.0.1") for name in ("prometheus", "alertmanager", "gateway")}
        self.prometheus = f"http://127.0.0.1:{ports['prometheus']}"
        self.alertmanager = f"http://127.0.0.1:{ports['alertmanager']}"
        self.variables = {
            "platform_container_prefix": self.prefix,
            "platform_network": docker.network,
            "platform_config_dir": str(folder / "etc"),
            "platform_data_dir": str(folder / "data"),
            "platform_secrets_dir": str(folder / "secrets"),
            "platform_users_networks": [],
            "mcp_servers": {
                name: {"enabled": False} for name in ("filesystem", "browser", "example")
            },
            "service_owner": self.prefix + "{{ ansible_parent_role_names | first }}",
            "service_health_timeout_seconds": 180,
            "prometheus_interval_seconds": 5,
            "__platform_keeps_logs": False,
            "prometheus_receivers": [
                {"name": "duty", "webhook": f"{url}/hook", "watchdog": True},
                {"name": "team", "feishu": {"url": f"{url}/robot", "secret": "signs"}},
                {"name": "operators", "email": {**MAIL, "smarthost": smarthost}},
            ],
            **{f"platform_{name}_port": port for name, port in ports.items()},
        }

    def deploy(self) -> subprocess.CompletedProcess:
        """Run the roles."""
        here = {"ansible_connection": "local", "platform_address": "127.0.0.1"}
        here["ansible_python_interpreter"] = sys.executable
        groups = {name: {"hosts": {"here": {}}} for name in self.groups}
        inventory = {"all": {"vars": here, "children": groups}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
        (self.folder / "vars.yml").write_text(yaml.safe_dump(self.variables))
        program = Path(sys.executable).parent / "ansible-playbook"
        return subprocess.run(
            [
                *(program, "-i", self.folder / "hosts.yml", "-e", f"@{self.folder}/vars.yml"),
                self.folder / "play.yml",
            ],
            cwd=support.REPOSITORY,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def query(self, expression: str) -> list[dict]:
        """Ask Prometheus."""
        text = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.prometheus}/api/v1/query?{text}", timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def values(self, expression: str) -> dict[str, float]:
        """Ask Prometheus for one value a job."""
        return {r["metric"]["job"]: float(r["value"][1]) for r in self.query(expression)}

    def container(self, service: str) -> str:
        return f"{self.prefix}{service}"


@pytest.fixture(scope="module")
def receiver(docker):
    made = Receiver(docker.gateway())
    yield made
    made.close()


@pytest.fixture(scope="module")
def mailbox(docker):
    made = Mailbox(docker.gateway())
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(docker, receiver, mailbox, tmp_path_factory):
    for name in SERVICES:
        image(name.replace("_", "-"))
    folder = tmp_path_factory.mktemp("monitoring")
    (folder / "secrets").mkdir(mode=0o700)
    made = Site(docker, folder, receiver.url, mailbox.smarthost)
    done = made.deploy()
    assert done.returncode == 0, done.stdout[-6000:]
    yield made
    docker.try_run("rm", "-fv", *[made.container(name) for name in SERVICES])
    shutil.rmtree(folder / "data", ignore_errors=True)


def test_every_service_that_runs_is_seen_and_every_other_one_is_missed(site):
    def answered():
        up, ready = site.values("up"), site.values("probe_success")
        return (up, ready) if set(up) == JOBS and len(ready) == len(ABSENT) + 1 else None

    up, ready = wait_until(answered, 60, "every job's first scrape")
    assert {job for job, value in up.items() if not value} == {"litellm"}
    missed = {job.removesuffix(" ready") for job, value in ready.items() if not value}
    assert missed == ABSENT
    assert site.values('{__name__=~"(pg|redis|ollama)_up", service=~"postgres|redis|ollama"}') == {
        "postgres": 1,
        "redis": 1,
        "ollama": 0,
    }


@pytest.mark.parametrize(
    "metric",
    [
        *("mcp_gateway_requests_total", "mcp_gateway_audit_dropped_total"),
        *("pg_stat_database_numbackends", "pg_settings_max_connections"),
        *("alertmanager_notifications_failed_total", "probe_duration_seconds"),
        *("node_filesystem_avail_bytes{mountpoint='/data'}", "node_filesystem_size_bytes"),
        *("node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes", "node_vmstat_oom_kill"),
        *("node_time_seconds", "node_load1", "node_pressure_cpu_waiting_seconds_total"),
    ],
)
def test_what_rules_ask_for_is_there(site, metric):
    if metric == "mcp_gateway_requests_total":  # the first request begins the series
        assert http_status(f"http://127.0.0.1:{site.variables['platform_gateway_port']}/mcp") == 401
    assert wait_until(lambda: site.query(metric), 30, metric)


def test_a_backup_that_root_reports_is_there(site):
    place = site.folder / "data/node_exporter/textfile/backup.prom"
    place.write_text(f"{BACKUP} 1796000000\n")
    place.chmod(0o644)
    (found,) = wait_until(lambda: site.query(BACKUP), 30, "the backup")
    assert (found["value"][1], found["metric"]["host"]) == ("1796000000", "here")


def test_alerts_of_what_breaks_arrive_with_what_to_do_and_resolve(site, receiver, docker):
    broken = {("TargetDown", "gateway"), ("ServiceNotReady", "gateway"), ("RedisDown", "redis")}
    containers = [site.container(name) for name in ("gateway", "redis")]
    docker.run("stop", "--time=5", *containers)
    wait_until(lambda: broken <= set(receiver.alerts("firing")), 300, "the alerts")
    fired = receiver.alerts("firing")
    expected = {*(name for name, _service in broken), "OllamaDown", "Watchdog"}
    assert {name for name, _service in fired} == expected
    assert fired["TargetDown", "gateway"]["annotations"] == {
        "summary": "gateway on here does not answer Prometheus",
        "description": "Its metrics cannot be read. The service, or the way to it, is down.",
        "runbook": f"docker start {site.container('gateway')}. `make doctor` inspects the platform "
        "and names the cause.",
    }
    wait_until(lambda: "**Redis on here does not" in receiver.said_by_robots(), 90, "the robot")
    docker.run("start", *containers)
    wait_until(lambda: broken <= set(receiver.alerts("resolved")), 150, "that they resolve")


def test_a_mail_says_what_is_wrong_and_what_to_do(site, mailbox):
    mail, *_ = wait_until(lambda: mailbox.about("OllamaDown"), 300, "the mail")
    assert (mail["To"], mail["From"]) == (MAIL["to"], MAIL["from"])
    text = mail.get_body(("html",)).get_content()
    assert "Ollama on here does not answer" in text
    assert f"docker start {site.container('ollama')}" in text
    assert not mailbox.about("Watchdog"), "it did not ask for that one"


def test_pages_of_others_cannot_read_prometheus_in_an_operators_browser(site):
    asked = urllib.request.Request(f"{site.prometheus}/api/v1/query?query=up")
    asked.add_header("Origin", "http://wiki.example.internal")
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] is None


def test_verify_says_what_is_missing_and_what_is_out(site):
    watcher = Watcher(site.prometheus, site.alertmanager)
    found = wait_until(lambda: (w := watcher.read()).has_watchdog and w, 60, "the watchdog")
    rows = {row.check: row for row in probe_monitoring.judge("m", found, list(JOBS), site.prefix)}
    assert {name for name, row in rows.items() if row.status == "failed"} == {
        "m sees every service"
    }
    assert "litellm on here" in rows["m sees every service"].found
    assert "OllamaDown: Ollama on here does not answer" in rows["m has no alert"].found


def test_a_receiver_that_refuses_alerts_is_known_by_its_name(site, receiver):
    watcher = Watcher(site.prometheus, site.alertmanager)
    assert watcher.read().undelivered == ()
    receiver.replies["POST", "/hook"] = (403, {})
    refused = (Undelivered("duty", "webhook", "clientError"),)
    # It is told once a minute, and again a scrape later.
    wait_until(lambda: watcher.read().undelivered == refused, 150, "its refusal")
    receiver.replies["POST", "/hook"] = (200, {})


def test_a_prometheus_that_is_killed_keeps_what_it_measured(site, docker):
    before = site.query("min_over_time(redis_up{service='redis'}[10m])")
    docker.run("kill", site.container("prometheus"))
    docker.run("start", site.container("prometheus"))
    wait_until(lambda: http_status(f"{site.prometheus}/-/ready") == 200, 60, "Prometheus")
    assert before and before[0]["value"][1] == "0", "Redis was stopped above"
    assert site.query("min_over_time(redis_up{service='redis'}[10m])")[0]["value"][1] == "0"


def test_the_key_of_the_gateway_is_in_no_configuration(site):
    names = ("gateway_monitoring_key", "key-prometheus")
    keys = [(site.folder / "secrets" / name).read_text().strip() for name in names]
    told = site.docker.run("inspect", site.container("prometheus"))
    config = (site.folder / "etc/services/prometheus/config/prometheus.yml").read_text()
    assert not [key for key in keys if key in told or key in config]
