"""LiteLLM's settings that have no counterpart of the same form here: why, and what there is instead.

Source: https://docs.litellm.ai/docs/proxy/config_settings
"""

from typing import NamedTuple


class Word(NamedTuple):
    """What is said of a setting."""

    why: str
    instead: str


_RECORDED = Word(
    "Every request is traced here already, with tokens, cost and (by the route's 'capture') payloads.",
    "Look at the Traces page or 'rondel trace list'; Prometheus reads /metrics, other systems the API.",
)
_LIMITS = Word(
    "Limits and budgets belong to keys here.", "Set them in 'keys' of this file or by 'rondel gateway limit'."
)
_DATABASE = Word("Rondel keeps its own rows.", "Set 'rows' in rondel.yaml for PostgreSQL; keys are made anew.")
_REDIS = Word(
    "Workers of one machine share limits without it.", "For several machines set 'limits_dsn' in rondel.yaml."
)
_BREAKER = Word(
    "When a target rests is not configured here: five failures in a row let it rest 1 s, then up to 30 s.", ""
)
_CACHE = Word("Nothing is kept for every route by it.", "Set 'cache' of the routes that it is for.")
_RETRY = Word("One number of tries counts for every kind of failure.", "Set 'attempts' of the route.")
_ORDER = Word("The policies of routes have nothing to be set.", "Choose a 'policy' and the weights of targets.")
_ADMIN = Word("Who may do what is set by roles here.", "See 'rondel key create --role' and 'rondel key people'.")
_ALERTS = Word("Alerts come from monitors here.", "See 'rondel monitor' and the alert plugin 'webhook'.")
_SECRETS = Word("Secrets are references of connections here.", "See the guide 'Secrets' for Vault, AWS, GCP and Azure.")
_NEVER = Word("Nothing of the kind is needed here.", "")

KNOWN: dict[str, Word] = {
    "master_key": Word(
        "Rondel makes its own admin key at the first start.",
        "Make a key for every application with 'rondel key create'; give no LiteLLM key on.",
    ),
    "routing_strategy_args": _ORDER,
    "weights": _ORDER,
    "allowed_fails": _BREAKER,
    "allowed_fails_policy": _BREAKER,
    "cooldown_time": _BREAKER,
    "disable_cooldowns": _BREAKER,
    "retry_after": Word("A provider's Retry-After of up to 5 s is waited for; other pauses double from 0.1 s.", ""),
    "retry_policy": _RETRY,
    "model_group_retry_policy": _RETRY,
    "max_retries": _RETRY,
    "num_retries": _RETRY,
    "context_window_fallbacks": Word(
        "A prompt that is too long for the model is the caller's error here (400), and not asked elsewhere.",
        "Let the caller name a route with a larger window.",
    ),
    "content_policy_fallbacks": Word("A refusal by the provider's policy is an answer here, and not asked again.", ""),
    "enable_pre_call_checks": Word("A model's window is not checked before the call.", ""),
    "optional_pre_call_checks": Word(
        "A conversation stays with its release by its session, without a setting.",
        "Set 'affinity: session' on a route so that it stays with its target too.",
    ),
    "enable_tag_filtering": Word("Tags are recorded and choose no deployment.", "Write 'rules' of the route."),
    "redis_url": _REDIS,
    "redis_host": _REDIS,
    "redis_port": _REDIS,
    "redis_password": _REDIS,
    "cache": _CACHE,
    "cache_params": _CACHE,
    "cache_responses": _CACHE,
    "cache_kwargs": _CACHE,
    "callbacks": _RECORDED,
    "success_callback": _RECORDED,
    "failure_callback": _RECORDED,
    "service_callback": _RECORDED,
    "turn_off_message_logging": Word("Payloads are kept as the route says.", "Set 'capture: none' on the routes."),
    "drop_params": Word(
        "Fields pass to a provider that speaks the caller's dialect as they are; a translated request carries what the "
        "other dialect can say.",
        "",
    ),
    "modify_params": Word("Requests are not rewritten to please a provider.", ""),
    "set_verbose": Word("Set 'log_level: debug' in rondel.yaml instead.", ""),
    "json_logs": Word("Logs are JSON.", ""),
    "max_budget": _LIMITS,
    "budget_duration": _LIMITS,
    "max_internal_user_budget": _LIMITS,
    "max_end_user_budget": _LIMITS,
    "provider_budget_config": _LIMITS,
    "upperbound_key_generate_params": _LIMITS,
    "default_key_generate_params": _LIMITS,
    "default_team_settings": _LIMITS,
    "default_team_params": _LIMITS,
    "default_internal_user_params": _LIMITS,
    "max_parallel_requests": _LIMITS,
    "global_max_parallel_requests": _LIMITS,
    "database_url": _DATABASE,
    "database_connection_pool_limit": _DATABASE,
    "database_connection_timeout": _DATABASE,
    "store_model_in_db": Word("The configuration is in the database as well; this file is applied to it.", ""),
    "store_prompts_in_spend_logs": _RECORDED,
    "disable_spend_logs": _RECORDED,
    "alerting": _ALERTS,
    "alerting_threshold": _ALERTS,
    "alert_types": _ALERTS,
    "alert_to_webhook_url": _ALERTS,
    "slack_alerting": _ALERTS,
    "custom_auth": _ADMIN,
    "enable_jwt_auth": _ADMIN,
    "litellm_jwtauth": _ADMIN,
    "ui_access_mode": _ADMIN,
    "allowed_routes": _ADMIN,
    "proxy_admin_email": _ADMIN,
    "key_management_system": _SECRETS,
    "key_management_settings": _SECRETS,
    "pass_through_endpoints": Word(
        "Every path of a connection's server is passed on already.",
        "Make a connection of the target; callers write /pass/CONNECTION/PATH.",
    ),
    "background_health_checks": Word("A target's health is known from its traffic.", "See 'rondel gateway status'."),
    "health_check_interval": Word("A target's health is known from its traffic.", "See 'rondel gateway status'."),
    "max_request_size_mb": Word("Set 'body_limit' in rondel.yaml.", ""),
    "mcp_servers": Word(
        "This import does not take MCP servers over.",
        "Write them into 'mcp' of this file, or 'rondel gateway mcp add'.",
    ),
    "finetune_settings": Word("Rondel trains itself.", "See 'rondel train'."),
    "files_settings": Word(
        "Files are passed to a connection with its own key.", "Callers name it in the header x-rondel-connection."
    ),
    "telemetry": _NEVER,
    "set_verbose_logger": _NEVER,
}
UNKNOWN = Word("It has no counterpart that this import knows.", "Look whether you still need it.")
