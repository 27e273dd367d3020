"""The cost of a call from its tokens and a price, in integers all the way."""

from rondel.spend.models import ModelPrice

MILLION = 1_000_000


def cost_nano(
    price: ModelPrice,
    *,
    input_uncached: int,
    cache_read: int = 0,
    cache_write: int = 0,
    output: int,
    audio_in: int = 0,
    audio_out: int = 0,
) -> int:
    """Nano-USD of disjoint token counts, rounded half up at the very end.

    `output` includes reasoning, which every provider prices as output. A bucket without a price of its own costs what
    plain input or output costs.
    """
    total_in = input_uncached + cache_read + cache_write + audio_in
    for above, tier in sorted(price.tiers):
        if total_in > above:
            price = tier
    sum_nano = (
        input_uncached * price.input_nano
        + cache_read * _either(price.cache_read_nano, price.input_nano)
        + cache_write * _either(price.cache_write_nano, price.input_nano)
        + audio_in * _either(price.audio_in_nano, price.input_nano)
        + output * price.output_nano
        + audio_out * _either(price.audio_out_nano, price.output_nano)
    )
    return (sum_nano + MILLION // 2) // MILLION


def _either(price: int | None, instead: int) -> int:
    return instead if price is None else price
