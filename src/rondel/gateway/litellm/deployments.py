"""LiteLLM's `model_list`: what each deployment leads to, with which key and which fixed fields."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast
from urllib.parse import parse_qsl

from rondel.errors import Invalid
from rondel.gateway.checking import OPERATIONS, check_header, check_secret
from rondel.gateway.configuring import ConnectionSettings
from rondel.gateway.litellm.models import Notes
from rondel.gateway.litellm.providers import HOSTS, Host, Named, named
from rondel.gateway.litellm.settings import KNOWN, UNKNOWN
from rondel.gateway.models import PlainTarget
from rondel.gateway.rules import parse_address

Json = Mapping[str, object]

_VARIABLE = "os.environ/"
_FIXED = frozenset(
    {
        "temperature", "top_p", "top_k", "n", "stop", "max_tokens", "max_completion_tokens", "presence_penalty",
        "frequency_penalty", "logit_bias", "seed", "response_format", "tools", "tool_choice", "parallel_tool_calls",
        "logprobs", "top_logprobs", "reasoning_effort", "service_tier", "dimensions", "encoding_format", "modalities",
        "prediction", "verbosity", "thinking",
    }
)  # fmt: skip
"""Fields of a request, which a deployment may set."""
_OPTIONS = {
    "api_version": "api_version",
    "aws_region_name": "region",
    "region_name": "region",
    "vertex_project": "project",
    "vertex_location": "location",
}
"""Their parameters that are options of our providers."""
_CREDENTIALS = frozenset(
    {
        "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_profile_name", "aws_role_name",
        "aws_session_name", "aws_web_identity_token", "vertex_credentials", "azure_ad_token", "tenant_id", "client_id",
        "client_secret",
    }
)  # fmt: skip
_BY_MACHINE = frozenset({"bedrock", "vertex"})
_CREDENTIALS_OF = {
    "bedrock": "Put them into the environment as {} (ACCESS_KEY:SECRET[:SESSION_TOKEN]), or write "
    "'secret: aws-credentials:default' for those of the machine.",
    "vertex": "Write 'secret: gcp-token:default' for those of the machine, or 'gcp-token:store:NAME' for a service "
    "account whose JSON key 'rondel secret set' keeps; {} would hold an access token, which ends within the hour.",
    "azure_openai": "Write 'secret: azure-token:default' for those of the machine, or 'azure-token:store:NAME'; {} "
    "would hold an access token, which ends within the hour.",
}
"""What is to be done about credentials, by provider."""
_READ = frozenset(
    {"model", "api_key", "api_base", "base_url", "custom_llm_provider", "extra_body", "extra_headers", "headers",
     "organization", "timeout", "stream_timeout", "weight", "order", "litellm_credential_name"}
)  # fmt: skip
_LIMITS = frozenset({"rpm", "tpm", "max_parallel_requests", "tpd", "rpd", "max_budget", "budget_duration"})
_PRICES = re.compile(r".*_cost(_|$).*|pricing.*|base_model")
_SILENT_INFO = frozenset({"id", "description", "max_tokens", "max_input_tokens", "max_output_tokens"})
_SERVED = frozenset({"chat", "completion", "embedding", "responses"})
_PASSED = frozenset({"image_generation", "image_edit", "audio_transcription", "audio_speech", "moderation", "rerank"})
_NO_KEYS = frozenset({"none", "null", "empty", "no-key", "not-needed", "dummy", "fake-key", "fake-api-key"})
"""What people write where a server asks for no key and LiteLLM's client wants one."""


class Deployment(NamedTuple):
    """One way to answer for a model group; a wildcard's target has no model of its own."""

    group: str
    target: PlainTarget
    order: float
    weight: float
    timeout_s: float | None
    stream_timeout_s: float | None

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for every model of a provider."""
        return self.target.model == "*"


class Reader:
    """Reads deployments one after the other; those with the same address and key share a connection."""

    def __init__(
        self,
        *,
        notes: Notes,
        variables: Mapping[str, str],
        providers: Mapping[str, frozenset[str]],
        credentials: Mapping[str, Json],
    ) -> None:
        """`variables` are known values of environment variables, `providers` the options of ours that are installed."""
        self._notes, self._variables, self._providers = notes, variables, providers
        self._credentials = credentials
        self._inlined: dict[str, str] = {}
        self.connections: dict[str, ConnectionSettings] = {}

    def read(self, entry: Json, defaults: Json, position: int) -> Deployment | None:
        """One entry of `model_list`; None when nothing here can answer it."""
        group = str(entry.get("model_name", ""))
        where = f"model_list[{position}] ({group})"
        params = {**defaults, **mapping(entry.get("litellm_params"))}
        params |= self._credential(str(params.get("litellm_credential_name", "")), where)
        self._tell_rest(entry, params, where)
        model = str(params.get("model", ""))
        custom = str(params.get("custom_llm_provider") or "")
        base = self._literal(params.get("api_base") or params.get("base_url"), f"{where}.api_base")
        name = named(model, custom, has_base=bool(base))
        host = HOSTS.get(name.provider)
        if not group or not name.model or host is None or host.provider not in self._providers:
            self._tell_nobody(model, name, host, where)
            return None
        settings = self._connection(host, base, params, where)
        if settings is None:
            return None
        is_wildcard = name.model == "*"
        prefix = group.removesuffix("/*") if is_wildcard else name.provider
        connection = self._place(settings, prefix, is_called=is_wildcard)
        target = PlainTarget(connection=connection, model=name.model, parameters=self._parameters(params, where))
        return Deployment(
            group,
            target,
            _number(params.get("order"), 0.0),
            _number(params.get("weight", params.get("rpm", params.get("tpm"))), 0.0),
            self._seconds(params.get("timeout"), f"{where}.timeout"),
            self._seconds(params.get("stream_timeout"), f"{where}.stream_timeout"),
        )

    def _tell_nobody(self, model: str, name: Named, host: Host | None, where: str) -> None:
        if host is not None:
            self._notes.add(
                where, f"The provider {host.provider!r} is not installed here.", "Install it, import again."
            )
        elif name.provider:
            instead = "If it speaks OpenAI's dialect, write 'custom_llm_provider: openai_like' with its 'api_base'."
            self._notes.add(where, f"There is no provider here for LiteLLM's {name.provider!r}.", instead)
        elif model == "*":
            instead = "Callers write CONNECTION/MODEL, such as openai/gpt-5-mini."
            self._notes.add(where, "There is no route for every name.", instead)
        else:
            instead = "Write it as provider/model, such as openai/gpt-5-mini."
            self._notes.add(where, f"The provider of {model!r} cannot be told from its name.", instead)

    def _credential(self, name: str, where: str) -> Json:
        if not name:
            return {}
        if name not in self._credentials:
            self._notes.add(
                where, f"There is no credential {name!r} in credential_list.", "Set the connection's secret."
            )
        return self._credentials.get(name, {})

    # Connections

    def _connection(self, host: Host, given: str, params: Json, where: str) -> ConnectionSettings | None:
        base, version = _without_operation(given)
        if base != given:
            params = {"api_version": version, **params} if version else params
            self._notes.add(f"{where}.api_base", "It names an operation.", f"The base URL ends before it: {base!r}.")
        provider, base = host.provider, (base or host.base_url).rstrip("/")
        if provider == "openai" and base and "api.openai.com" not in base:
            provider = "openai_compatible"
        if base == "https://api.openai.com/v1":
            base = ""
        try:
            if base and not parse_address(base).path:
                base += host.dated_path if host.dated_path and params.get("api_version") else host.path
        except Invalid as error:
            self._notes.add(f"{where}.api_base", error.message, "Write the address in 'base_url'.")
            return None
        if provider == "openai_compatible" and not base:
            self._notes.add(where, "It names no api_base.", "Write where the server is.")
            return None
        headers = self._headers(params, where)
        options: dict[str, object] = {}
        for theirs, ours in _OPTIONS.items():
            if (value := self._literal(params.get(theirs), f"{where}.{theirs}")) and ours in self._providers[provider]:
                options[ours] = value
            elif value:
                instead = "Look whether the provider needs it."
                self._notes.add(f"{where}.{theirs}", f"The provider {provider!r} has no option {ours!r}.", instead)
        secret = self._secret(host, params, where)
        return ConnectionSettings(provider=provider, base_url=base, secret=secret, headers=headers, options=options)

    def _place(self, settings: ConnectionSettings, wanted: str, *, is_called: bool) -> str:
        """The name of the connection with these settings; a new one when there is none, or when callers will name it
        (`is_called`) and it is called otherwise so far."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-._*") or settings.provider
        name = "local-1" if name == "local" else name
        same = [known for known, held in self.connections.items() if held == settings]
        if same and (not is_called or name in same):
            return name if name in same else same[0]
        number, free = 2, name
        while free in self.connections:
            free, number = f"{name}-{number}", number + 1
        self.connections[free] = settings
        return free

    def _headers(self, params: Json, where: str) -> dict[str, str]:
        headers: dict[str, str] = {}
        if organization := self._literal(params.get("organization"), f"{where}.organization"):
            headers["openai-organization"] = organization
        for name, value in {**mapping(params.get("headers")), **mapping(params.get("extra_headers"))}.items():
            try:
                check_header(name, str(value))
            except Invalid as error:
                self._notes.add(
                    f"{where}.extra_headers", error.message, "Leave it out, or set the connection's secret."
                )
                continue
            if str(value).startswith(_VARIABLE):
                instead = "Write its text, or give the key as the connection's secret."
                self._notes.add(f"{where}.extra_headers.{name}", "A header is sent as it is written.", instead)
            else:
                headers[name] = str(value)
        return headers

    def _secret(self, host: Host, params: Json, where: str) -> str:
        given = str(params.get("api_key") or "")
        taken = sorted(_CREDENTIALS & set(params))
        if not given and not taken and host.provider in _BY_MACHINE:
            taken = ["credentials of the machine"]  # LiteLLM looks for them by itself
        if taken:
            wanted = f"RONDEL_SECRET_{host.provider.upper()}"
            instead = (
                _CREDENTIALS_OF.get(host.provider, "").format(wanted) or f"Put it into the environment as {wanted}."
            )
            self._notes.add(
                f"{where}.{', '.join(taken)}", "Credentials are one secret of the connection here.", instead
            )
            return f"env:{wanted}"
        if given.lower() in _NO_KEYS:
            self._notes.add(f"{where}.api_key", f"{given!r} is no key: none is sent.", "")
            return ""
        if not given and host.is_open and host.variable not in self._variables:
            instead = "Set the connection's secret if the server asks for a key."
            self._notes.add(where, f"It has no api_key, and {host.variable} is not set here: none is sent.", instead)
            return ""
        if not given:
            return f"env:{host.variable}" if host.variable else ""
        if not given.startswith(_VARIABLE):
            wanted = self._inlined.get(given) or self._new_variable(host.provider)
            self._inlined[given] = wanted
            why = "The key itself stands in the file; it is not copied."
            self._notes.add(f"{where}.api_key", why, f"Put it into the environment as {wanted}.")
            return f"env:{wanted}"
        variable = given.removeprefix(_VARIABLE)
        try:
            check_secret(f"env:{variable}")
        except Invalid:
            why = f"A secret's variable ends in _API_KEY, _KEY or _TOKEN here, and {variable!r} does not."
            self._notes.add(f"{where}.api_key", why, f"Put it into the environment as RONDEL_SECRET_{variable}.")
            return f"env:RONDEL_SECRET_{variable}"
        return f"env:{variable}"

    def _new_variable(self, provider: str) -> str:
        """A variable for a key that stands in the file: one for each key."""
        name = f"RONDEL_SECRET_{provider.upper()}"
        taken = sum(known.startswith(name) for known in self._inlined.values())
        return f"{name}_{taken + 1}" if taken else name

    # Values

    def _literal(self, value: object, where: str) -> str:
        """A text, with its variable filled in where that is known."""
        text = "" if value is None else str(value)
        if not text.startswith(_VARIABLE):
            return text
        variable = text.removeprefix(_VARIABLE)
        if known := self._variables.get(variable):
            why = f"It was read from {variable}, whose value stands in the file now."
            self._notes.add(where, why, "Only secrets are read from the environment.")
            return known
        why = f"It is read from {variable}, which is not set here."
        is_address = where.endswith("api_base")
        filled = f"https://{variable.lower().replace('_', '-')}.invalid" if is_address else ""
        self._notes.add(where, why, f"Write its value in place of {filled!r}." if filled else "Write its value.")
        return filled

    def _seconds(self, value: object, where: str) -> float | None:
        text = self._literal(value, where)
        try:
            seconds = float(text) if text else None
        except ValueError:
            seconds = None
            self._notes.add(where, f"{text!r} is no number of seconds.", "Set 'timeouts' of the route.")
        return seconds if seconds and seconds > 0 else None

    def _parameters(self, params: Json, where: str) -> dict[str, object]:
        fixed = {name: value for name, value in params.items() if name in _FIXED and value is not None}
        fixed |= mapping(params.get("extra_body"))
        if fixed:
            why = f"{', '.join(fixed)}: a default in LiteLLM; here it wins over what the caller sends."
            self._notes.add(where, why, "Remove it from 'parameters' if callers shall choose.")
        return fixed

    def _tell_rest(self, entry: Json, params: Json, where: str) -> None:
        """Everything of an entry that has no counterpart."""
        info = mapping(entry.get("model_info"))
        beside = {name: entry[name] for name in entry if name not in {"model_name", "litellm_params", "model_info"}}
        rest = {
            name for name in (*params, *beside) if name not in _READ | _FIXED | _CREDENTIALS and name not in _OPTIONS
        }
        if limits := sorted(rest & _LIMITS):
            why = "Limits belong to keys here; rpm and tpm only weigh the deployments of one model."
            instead = "Limit a key in 'keys' of this file or by 'rondel gateway limit'."
            self._notes.add(f"{where}.{', '.join(limits)}", why, instead)
        prices = sorted(name for name in {*rest, *info} if _PRICES.fullmatch(name))
        if prices:
            instead = "Set an own price where the built-in one is wrong or missing."
            self._notes.add(f"{where}.{', '.join(prices)}", "Prices come from Rondel's price book.", instead)
        mode = str(info.get("mode", "chat"))
        if mode in _PASSED:
            why = f"{mode!r} is passed through as bytes to the first target of the route."
            self._notes.add(f"{where}.model_info.mode", why, "A route with guardrails refuses it.")
        elif mode not in _SERVED:
            self._notes.add(f"{where}.model_info.mode", f"{mode!r} is not routed here.", "Call the provider for it.")
        for name in sorted(rest - _LIMITS - set(prices)):
            word = KNOWN.get(name, UNKNOWN)
            self._notes.add(f"{where}.{name}", word.why, word.instead)
        for name in sorted(set(info) - _SILENT_INFO - set(prices) - {"mode"}):
            if not name.startswith("supports_"):
                self._notes.add(f"{where}.model_info.{name}", UNKNOWN.why, UNKNOWN.instead)


def mapping(value: object) -> dict[str, object]:
    """A mapping with names, anything else as an empty one."""
    if not isinstance(value, Mapping):
        return {}
    return {str(name): each for name, each in cast("Mapping[object, object]", value).items()}


def items(value: object) -> Sequence[object]:
    """A list as it is, a single value as a list of one, nothing as an empty one."""
    if isinstance(value, list):
        return cast("list[object]", value)
    return [] if value is None else [value]


def _without_operation(url: str) -> tuple[str, str]:
    """A base URL without the operation that some write behind it, and the `api-version` that Azure's have there."""
    address, _, query = url.partition("?")
    for operation in OPERATIONS:
        if address.rstrip("/").endswith(operation):
            rest = address.rstrip("/").removesuffix(operation)
            return re.sub(r"/deployments/[^/]+$", "", rest), dict(parse_qsl(query)).get("api-version", "")
    return url, ""


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default
