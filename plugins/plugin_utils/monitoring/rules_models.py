# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Alert rules about models, who answers for them, and what people may spend."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.rule import (
    WARNING,
    Rule,
    share,
)

ASKED = "sum by (service) (rate(litellm_proxy_total_requests_metric_total[5m]))"
# Of what fails, what is the platform's fault and not the caller's.
FAILED = (
    "sum by (service)"
    ' (rate(litellm_proxy_failed_requests_metric_total{exception_status=~"5.."}[5m]))'
)
# What LiteLLM takes besides the time of the model.
ADDED = "litellm_overhead_latency_metric"
USED = 'process_resident_memory_bytes{service="litellm"}'


def grew(until: str, since: str) -> str:
    """Whether an hour's least is above an earlier hour's most; one jump is not twice."""
    return f"min_over_time({USED}[1h] offset {until}) > max_over_time({USED}[1h] offset {since})"


def left(of: str, by: str) -> str:
    """What percentage of a budget is left; without a budget there is nothing to compare."""
    return (
        f"100 * max by ({by}) (litellm_remaining_{of}_budget_metric)"
        f" / max by ({by}) (litellm_{of}_max_budget_metric > 0 < +Inf) < <budget_percent>"
    )


MODELS = (
    Rule(
        "OllamaDown",
        "ollama_up == 0",
        "1m",
        "Ollama on {{ $labels.host }} does not answer",
        "Its exporter gets no list of models. Other Ollamas, if any, get its requests.",
        doctor="docker start <prefix>ollama",
    ),
    Rule(
        "ModelMissing",
        "ollama_model_present == 0",
        "5m",
        "Ollama on {{ $labels.host }} lacks {{ $labels.model }}",
        "The inventory declares the model, so requests for it fail there.",
        doctor="run the playbook's ollama role, which pulls them and resumes a pull that stalls",
    ),
    Rule(
        "ModelNotLoaded",
        "ollama_kept_model_loaded == 0",
        "10m",
        "{{ $labels.model }} is not in the memory of Ollama on {{ $labels.host }}",
        "The inventory keeps it loaded. The next request loads it, and waits that long.",
        action="send it a request; if it is loaded and leaves again, other models need its memory",
        severity=WARNING,
    ),
    Rule(
        "ModelOffGpu",
        "ollama_loaded_model_off_gpu == 1",
        "2m",
        "{{ $labels.model }} runs on the CPU of {{ $labels.host }}, which has a GPU",
        "It answers at a fraction of its speed.",
        doctor="read what Ollama's log says of 'inference compute': without library=CUDA the image "
        "has no CUDA runners (bring ollama-cuda by bundle or registry) or the container lost its "
        "GPU (make doctor)",
    ),
    Rule(
        "FirstTokenSlow",
        "histogram_quantile(0.95, sum by (le, model_group)"
        " (rate(litellm_llm_api_time_to_first_token_metric_bucket[10m]))) > <first_token_seconds>",
        "10m",
        "{{ $labels.model_group }} takes long to begin its answers",
        "One answer in twenty begins after {{ $value | printf `%.1f` }} s or later, expected at "
        "most <first_token_seconds> s.",
        action="see ModelOffGpu and RequestsWait; else add a host to group ollama, raise "
        "ollama_parallel_requests, or choose a smaller model",
        severity=WARNING,
    ),
    Rule(
        "LitellmSlow",
        # Seconds, though LiteLLM's help for it says milliseconds.
        "histogram_quantile(0.95, sum by (le, service)"
        f" (rate({ADDED}_bucket[10m]))) > <litellm_p95_seconds>",
        "10m",
        "LiteLLM is slow itself",
        "To one request in twenty it adds {{ $value | printf `%.1f` }} s or more, expected at most "
        "<litellm_p95_seconds> s: keys, budgets, routing, retries. LiteLLM measures it of answers "
        "that are not streamed. The model's own time, which may be minutes, is not counted; "
        "FirstTokenSlow is about that, and about streams.",
        action="see whether PostgreSQL and Redis answer, and how busy the CPU of LiteLLM's hosts "
        "is; read docker logs <prefix>litellm; else add a host to group litellm",
        severity=WARNING,
    ),
    Rule(
        "RequestsWait",
        "sum by (service) (litellm_in_flight_requests) > <requests_in_flight>",
        "5m",
        "Requests queue up in front of the models",
        "LiteLLM holds {{ $value | printf `%.0f` }} unanswered ones, expected at most "
        "<requests_in_flight>.",
        action="see which model they are for (litellm_deployment_total_requests by model), and add "
        "a host to group ollama or raise ollama_parallel_requests",
        severity=WARNING,
    ),
    Rule(
        "LitellmErrors",
        share(FAILED, ASKED),
        "5m",
        "LiteLLM fails requests",
        "{{ $value | printf `%.1f` }} % of requests failed with 5xx, expected at most "
        "<error_percent> %.",
        action="read docker logs <prefix>litellm for the models and errors concerned",
    ),
    Rule(
        "LitellmMemory",
        f"{USED} / 2^20 > 0.9 * <litellm_memory_mb> or {USED} / 2^20 > 0.6 * <litellm_memory_mb>"
        f" and predict_linear({USED}[6h], 2 * 86400) / 2^20 > <litellm_memory_mb>"
        f" and {grew('1m', '2h')} and {grew('2h', '4h')}",
        "30m",
        "LiteLLM on {{ $labels.host }} grows towards its memory limit",
        "Within two days, at the pace of the last hours, or it is nearly there. It is killed at "
        "<litellm_memory_mb> MiB.",
        doctor="raise litellm's memory limit (litellm_memory_mb), or restart it if it grew over "
        "weeks",
        severity=WARNING,
    ),
)
BUDGETS = (
    Rule(
        "TeamBudget",
        left("team", "team_alias"),
        "5m",
        "Team {{ $labels.team_alias }} has spent nearly all of its budget",
        "{{ $value | printf `%.0f` }} % are left. Without any its requests are refused.",
        action="raise its budget in teams, or let it wait until the budget is renewed",
        severity=WARNING,
    ),
    Rule(
        "KeyBudget",
        left("api_key", "api_key_alias"),
        "5m",
        "The key {{ $labels.api_key_alias }} has spent nearly all of its budget",
        "{{ $value | printf `%.0f` }} % are left. Without any its requests are refused.",
        action="raise the budget of its member in teams or of its entry in litellm_keys, or let it "
        "wait until the budget is renewed",
        severity=WARNING,
    ),
)
