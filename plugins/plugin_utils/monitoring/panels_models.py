# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Panels of models and of who uses them, out of the metrics of LiteLLM and Ollama. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panel import (
    BYTES,
    COUNT,
    LINES,
    MONEY,
    RATE,
    SECONDS,
    STATES,
    TABLE,
    Panel,
    Query,
    grown,
    per_second,
    quantile,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.rules_models import ADDED

MODEL_CALLS = "litellm_proxy_total_requests_metric_total"
MODEL_FAILURES = "litellm_proxy_failed_requests_metric_total"
MODEL_SECONDS = "litellm_request_total_latency_metric_bucket"
FIRST = "litellm_llm_api_time_to_first_token_metric_bucket"
TOKENS, COST = "litellm_total_tokens_metric_total", "litellm_spend_metric_total"
TOKENS_IN, TOKENS_OUT = "litellm_input_tokens_metric_total", "litellm_output_tokens_metric_total"
# Ollama tells nothing of models that are not in memory.
LOADED = (
    "max by (host, model) (ollama_loaded_model_bytes) > bool 0 "
    "or 0 * max by (host, model) (ollama_model_size_bytes)"
)
NOTHING = "0 * max by (host) (ollama_up)"

MODELS = {
    "models": Panel(
        "Models",
        TABLE,
        COUNT,
        (
            Query(grown(MODEL_CALLS, "requested_model"), "Requests"),
            Query(grown(TOKENS_IN, "requested_model"), "Tokens in"),
            Query(grown(TOKENS_OUT, "requested_model"), "Tokens out"),
            Query(quantile(0.95, FIRST, "requested_model", "<span>"), "First token", SECONDS),
        ),
        about="First token: within which time 95 % of the streamed answers began.",
        rows=("requested_model",),
    ),
    "model_requests": Panel(
        "Requests by model",
        LINES,
        RATE,
        (Query(per_second(MODEL_CALLS, "requested_model"), "{{requested_model}}"),),
    ),
    "model_tokens": Panel(
        "Tokens a second",
        LINES,
        RATE,
        (
            Query(per_second(TOKENS_IN, "requested_model"), "{{requested_model}} in"),
            Query(per_second(TOKENS_OUT, "requested_model"), "{{requested_model}} out"),
        ),
    ),
    "first_token": Panel(
        "First token, p95",
        LINES,
        SECONDS,
        (Query(quantile(0.95, FIRST, "requested_model"), "{{requested_model}}"),),
    ),
    "model_latency": Panel(
        "Whole answer, p95",
        LINES,
        SECONDS,
        (Query(quantile(0.95, MODEL_SECONDS, "requested_model"), "{{requested_model}}"),),
    ),
    "queue": Panel(
        "Requests under way",
        LINES,
        COUNT,
        (Query("sum by (host) (litellm_in_flight_requests)", "{{host}}"),),
        about="What LiteLLM has not answered yet: it waits for a model, or is being written.",
    ),
    "waiting": Panel(
        "Wait before LiteLLM begins, p95",
        LINES,
        SECONDS,
        (Query(quantile(0.95, "litellm_request_queue_time_seconds_bucket"), "all models"),),
    ),
    "added": Panel(
        "Time that LiteLLM adds, p95",
        LINES,
        SECONDS,
        (Query(quantile(0.95, f"{ADDED}_bucket"), "all models"),),
        about="To the model's own (keys, budgets, routing, retries); streams are not counted.",
    ),
    "loaded": Panel(
        "Models loaded",
        STATES,
        COUNT,
        (Query(LOADED, "{{model}} {{host}}"),),
        words=("loaded", "not loaded"),
    ),
    "memory": Panel(
        "Memory of models",
        LINES,
        BYTES,
        (
            Query(f"sum by (host) (ollama_loaded_model_bytes) or {NOTHING}", "{{host}} all"),
            Query(f"sum by (host) (ollama_loaded_model_vram_bytes) or {NOTHING}", "{{host}} GPU"),
        ),
    ),
}

PEOPLE = {
    "teams": Panel(
        "Teams",
        TABLE,
        COUNT,
        (
            Query(grown(TOKENS, "team_alias"), "Tokens"),
            Query(grown(COST, "team_alias"), "Cost", MONEY),
            Query(grown(MODEL_CALLS, "team_alias"), "Requests"),
        ),
        rows=("team_alias",),
    ),
    "people": Panel(
        "Keys",
        TABLE,
        COUNT,
        (
            Query(f"topk(15, {grown(TOKENS, 'api_key_alias')})", "Tokens"),
            Query(grown(COST, "api_key_alias"), "Cost", MONEY),
            Query(grown(MODEL_CALLS, "api_key_alias"), "Requests"),
        ),
        rows=("api_key_alias",),
    ),
    "team_tokens": Panel(
        "Tokens a second by team",
        LINES,
        RATE,
        (Query(per_second(TOKENS, "team_alias"), "{{team_alias}}"),),
    ),
    "team_budgets": Panel(
        "Budget of teams left",
        LINES,
        MONEY,
        (
            Query(
                "max by (team_alias) (litellm_remaining_team_budget_metric < Inf)", "{{team_alias}}"
            ),
        ),
        about="Teams without a budget are not shown.",
    ),
    "key_budgets": Panel(
        "Budget of keys left",
        LINES,
        MONEY,
        (
            Query(
                "max by (api_key_alias) (litellm_remaining_api_key_budget_metric < Inf)",
                "{{api_key_alias}}",
            ),
        ),
        about="Keys without a budget are not shown.",
    ),
}
