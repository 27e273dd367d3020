"""Prices of tokens, in integers, and what is priced."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple


@dataclass(frozen=True)
class ModelPrice:
    """Integer nano-USD for a million tokens of each bucket; None where the list names no price of its own.

    `version` says which list, or whose. `tiers` are (input tokens, prices): a request with more input tokens than that
    is priced by the tier alone, as providers with long-context prices do. `services` are (name, prices) of other ways
    to be served, such as `batch`, `flex` and `priority`. `request_nano` is for one request, `search_nano` for one
    search of the web.
    """

    input_nano: int
    output_nano: int
    cache_read_nano: int | None = None
    cache_write_nano: int | None = None
    audio_in_nano: int | None = None
    audio_out_nano: int | None = None
    version: str = ""
    tiers: tuple[tuple[int, "ModelPrice"], ...] = ()
    cache_write_1h_nano: int | None = None
    """For what is kept longer than the provider's shortest time: Anthropic's hour."""
    image_in_nano: int | None = None
    image_out_nano: int | None = None
    audio_cached_nano: int | None = None
    image_cached_nano: int | None = None
    reasoning_nano: int | None = None
    request_nano: int | None = None
    search_nano: int | None = None
    services: tuple[tuple[str, "ModelPrice"], ...] = ()

    @cached_property
    def rates(self) -> tuple[int, ...]:
        """What a million of each of `Counts` cost, in their order and without the searches, once tier and service are
        chosen."""
        given, made = self.input_nano, self.output_nano
        read, written = _first(self.cache_read_nano, given), _first(self.cache_write_nano, given)
        return (
            given,
            read,
            written,
            made,
            _first(self.reasoning_nano, made),
            _first(self.audio_in_nano, given),
            _first(self.audio_out_nano, made),
            _first(self.image_in_nano, given),
            _first(self.cache_write_1h_nano, written),
            _first(self.audio_cached_nano, read),
            _first(self.image_cached_nano, read),
            _first(self.image_out_nano, made),
        )

    @cached_property
    def most(self) -> tuple[int, int, int]:
        """The most that one million tokens in, one million out, and the request itself can cost, without its tiers."""
        given = max(
            self.input_nano,
            self.cache_read_nano or 0,
            self.cache_write_nano or 0,
            self.cache_write_1h_nano or 0,
            self.audio_in_nano or 0,
            self.image_in_nano or 0,
            self.audio_cached_nano or 0,
            self.image_cached_nano or 0,
        )
        made = max(self.output_nano, self.reasoning_nano or 0, self.audio_out_nano or 0, self.image_out_nano or 0)
        return given, made, self.request_nano or 0


def _first(own: int | None, general: int) -> int:
    return general if own is None else own


class Counts(NamedTuple):
    """What one request used: disjoint token counts, and searches."""

    input_uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output_text: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0
    image_in: int = 0
    cache_write_1h: int = 0
    audio_cached: int = 0
    image_cached: int = 0
    image_out: int = 0
    web_searches: int = 0

    @staticmethod
    def of_input() -> tuple[str, ...]:
        """The names of the counts that are input tokens: what tiers go by."""
        cached = ("cache_read", "audio_cached", "image_cached")
        return ("input_uncached", *cached, "cache_write", "cache_write_1h", "audio_in", "image_in")

    @property
    def input(self) -> int:
        """All input tokens."""
        cached = self.cache_read + self.audio_cached + self.image_cached
        written = self.cache_write + self.cache_write_1h
        return self.input_uncached + cached + written + self.audio_in + self.image_in

    @property
    def output(self) -> int:
        """All output tokens."""
        return self.output_text + self.reasoning + self.audio_out + self.image_out
