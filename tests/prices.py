"""Any price, for properties."""

from typing import Any

from hypothesis import strategies as st

from rondel.spend.models import ModelPrice

_rates = st.integers(0, 100_000_000_000)
_some_rates = st.none() | _rates


@st.composite
def prices(draw: st.DrawFn, depth: int = 2) -> ModelPrice:
    """With tiers and services, which may have tiers as well."""
    inner: st.SearchStrategy[ModelPrice] = prices(depth - 1) if depth else st.nothing()
    tiers = draw(st.lists(st.tuples(st.integers(0, 3000), inner), max_size=2 if depth else 0))
    names = st.sampled_from(["batch", "flex", "priority"])
    services = draw(st.lists(st.tuples(names, inner), max_size=2 if depth == 2 else 0, unique_by=lambda one: one[0]))
    single: dict[str, Any] = {name: draw(_some_rates) for name in _SINGLE}
    request = draw(st.none() | st.integers(0, 10**9))
    return ModelPrice(
        draw(_rates), draw(_rates), tiers=tuple(tiers), services=tuple(services), request_nano=request, **single
    )


_SINGLE = (
    "cache_read_nano",
    "cache_write_nano",
    "cache_write_1h_nano",
    "audio_in_nano",
    "audio_out_nano",
    "audio_cached_nano",
    "image_in_nano",
    "image_out_nano",
    "image_cached_nano",
    "reasoning_nano",
)
