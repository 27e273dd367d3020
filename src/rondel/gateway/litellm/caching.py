"""LiteLLM's cache as ours. Source: https://docs.litellm.ai/docs/proxy/caching_settings"""

from rondel.gateway.litellm.deployments import Json, items, mapping
from rondel.gateway.litellm.models import Notes
from rondel.gateway.models import CacheMode, CacheSettings

LONGEST_TTL_S = 2_592_000.0
_CALLS = frozenset({"completion", "acompletion"})
_TAKEN = frozenset(
    {"type", "ttl", "default_in_memory_ttl", "default_in_redis_ttl", "supported_call_types", "mode",
     "similarity_threshold"}
)  # fmt: skip
_WHERE = "litellm_settings.cache_params"
_INSTEAD = "Set 'cache' of the routes that it is for."


def cache_of(own: Json, notes: Notes) -> CacheSettings | None:
    """What every route keeps, by `litellm_settings`; None where nothing is kept for everybody."""
    if own.get("cache") is not True:
        return None
    given = mapping(own.get("cache_params"))
    kind, calls = str(given.get("type", "local")), {str(call) for call in items(given.get("supported_call_types"))}
    if given.get("mode") == "default_off":
        notes.add(f"{_WHERE}.mode", "Requests turn LiteLLM's cache on; here routes do.", _INSTEAD)
        return None
    if calls and not calls & _CALLS:
        notes.add(f"{_WHERE}.supported_call_types", "A route's cache is for all that it answers.", _INSTEAD)
        return None
    if calls and not {"embedding", "aembedding"} & calls:
        notes.add(f"{_WHERE}.supported_call_types", "A route's cache is for all that it answers, embeddings too.", "")
    if lost := sorted(set(given) - _TAKEN):
        why = f"Answers lie in the data folder, shared by the workers of a machine: {', '.join(lost)} say nothing here."
        notes.add(_WHERE, why, "")
    is_semantic = kind.endswith("-semantic")
    if is_semantic:
        why = "Similarities of another embedder mean other things; the routes have our floor."
        notes.add(
            f"{_WHERE}.similarity_threshold", why, "See 'Cache' in the gateway guide for what it was measured by."
        )
    notes.add(
        "litellm_settings.cache",
        "LiteLLM shares answers among all keys; here only requests of one key share them.",
        "Set 'cache.scope' of a route to team or project where that is wanted.",
    )
    mode = CacheMode.SEMANTIC if is_semantic else CacheMode.EXACT
    ttl_s = _ttl_s(given, kind)
    return CacheSettings(mode=mode) if ttl_s is None else CacheSettings(mode=mode, ttl_s=ttl_s)


def _ttl_s(given: Json, kind: str) -> float | None:
    """Seconds that answers are good for; None where nothing says it."""
    name = "default_in_memory_ttl" if kind == "local" else "default_in_redis_ttl"
    ttl = given.get("ttl", given.get(name))
    if not isinstance(ttl, int | float) or isinstance(ttl, bool) or ttl <= 0:
        return None
    return min(float(ttl), LONGEST_TTL_S)
