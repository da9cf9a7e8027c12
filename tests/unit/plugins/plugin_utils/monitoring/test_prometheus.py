# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Prometheus's configuration as it is written."""

from __future__ import annotations

import pytest
import yaml
from ansible.template import trust_as_template
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import prometheus, targets
from platforms import CLUSTERS, LIGHT, SPREAD, topology

SETTINGS = {"interval_seconds": 15, "alertmanagers": ["net-alertmanager:9093"]}
SETTINGS["certificates"] = {"urls": [], "prober": "net-blackbox_exporter:9115", "host": "watch"}


def written(groups, host, **settings):
    site = topology(groups, container_prefix="net-", **settings)
    made = yaml.safe_load(prometheus.config(targets.jobs(site, host), SETTINGS))
    return made, {job["job_name"]: job for job in made["scrape_configs"]}


def test_a_key_is_a_file_and_never_in_the_configuration():
    _, jobs = written({**LIGHT, "monitoring": ["one"]}, "one")
    assert jobs["gateway"] == {
        "job_name": "gateway",
        "metrics_path": "/metrics",
        "authorization": {"credentials_file": "/secrets/gateway_monitoring_key"},
        "static_configs": [
            {
                "targets": ["net-gateway:8080"],
                "labels": {"service": "gateway", "container": "gateway", "host": "one"},
            }
        ],
    }


def test_an_exporter_is_told_whom_to_ask():
    _, jobs = written({**SPREAD, "monitoring": ["watch"]}, "watch", tls=True)
    assert jobs["redis"]["static_configs"][0]["targets"] == ["redis://192.0.2.3:6379"]
    assert jobs["postgres"]["static_configs"][0]["targets"] == ["192.0.2.3:5432/postgres"]
    (balancer,) = jobs["load_balancer ready"]["static_configs"]
    assert balancer["targets"] == ["https://192.0.2.4:443/health"]
    to_exporter = {"target_label": "__address__", "replacement": "net-blackbox_exporter:9115"}
    assert jobs["load_balancer ready"]["relabel_configs"][-1] == to_exporter


def test_certificates_elsewhere_are_seen_once_each_by_host_and_port():
    urls = ["https://a.example/v1", "https://a.example:443/mcp", "https://[fd00::1]:8443/"]
    settings = {**SETTINGS, "certificates": {**SETTINGS["certificates"], "urls": urls}}
    (job,) = yaml.safe_load(prometheus.config([], settings))["scrape_configs"]
    assert job["job_name"] == "certificates" and job["params"] == {"module": ["certificate"]}
    (targets_of,) = job["static_configs"]
    assert targets_of["targets"] == ["a.example:443", "[fd00::1]:8443"]
    exporter = "blackbox_exporter"
    assert targets_of["labels"] == {"service": exporter, "container": exporter, "host": "watch"}
    to_exporter = {"target_label": "__address__", "replacement": "net-blackbox_exporter:9115"}
    assert job["relabel_configs"][-1] == to_exporter


def test_members_of_clusters_are_watched_and_etcd_needs_no_certificate_for_it():
    _, jobs = written({**CLUSTERS, "monitoring": ["watch"]}, "watch")
    assert len(jobs["redis_sentinel"]["static_configs"]) == 3
    assert jobs["redis_sentinel"]["static_configs"][0]["targets"] == ["redis://192.0.2.1:26379"]
    assert jobs["etcd_metrics"]["static_configs"][0]["targets"] == ["192.0.2.1:2381"]
    assert "etcd" not in jobs
    # Whoever starts it has to know the container.
    assert jobs["etcd_metrics"]["static_configs"][0]["labels"]["container"] == "etcd"


def test_the_secrets_that_are_needed_are_named_once():
    jobs = [{"secret": "a"}, {"secret": ""}, {"secret": "b"}, {"secret": "a"}]
    assert prometheus.secrets(jobs) == ["a", "b"]


def test_a_scrape_ends_before_the_next_one_begins():
    made = yaml.safe_load(prometheus.config([], {**SETTINGS, "interval_seconds": 5}))
    assert made["global"]["scrape_timeout"] == "5s"
    assert made["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == [
        "net-alertmanager:9093"
    ]


def test_texts_of_a_play_are_written_as_texts():
    """Ansible marks them, as types of its own."""
    settings = {**SETTINGS, "alertmanagers": [trust_as_template("net-alertmanager:9093")]}
    assert prometheus.config([], settings) == prometheus.config([], SETTINGS)


def test_an_exporter_that_nobody_knows_how_to_ask_is_one_clear_message():
    job = {"service": "wiki", "exporter": {"service": "gitea", "address": "x"}}
    with pytest.raises(prometheus.ConfigError, match="wiki has the exporter 'gitea', expected one"):
        prometheus.config([job], SETTINGS)
