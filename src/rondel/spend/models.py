"""Prices of tokens, in integers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """Integer nano-USD for a million tokens of each bucket; None where the list names no price of its own.

    `version` says which list, or whose. `tiers` are (input tokens, prices): a request with more input tokens than that
    is priced by the tier alone, as providers with long-context prices do.
    """

    input_nano: int
    output_nano: int
    cache_read_nano: int | None = None
    cache_write_nano: int | None = None
    audio_in_nano: int | None = None
    audio_out_nano: int | None = None
    version: str = ""
    tiers: tuple[tuple[int, "ModelPrice"], ...] = ()
