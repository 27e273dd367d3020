"""Figures as people read them. Pure; these are the filters of the templates.

Unknown is a dash, never 0. Negative numbers have a true minus sign.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from rondel.money import NANO, usd

DASH = "–"
_SECOND_MS = 1000
_MINUTE_MS = 60 * _SECOND_MS
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


def _minus(text: str) -> str:
    return text.replace("-", "−")


def number(value: float | None) -> str:
    """`4,210`."""
    return DASH if value is None else _minus(f"{value:,.0f}")


def duration(ms: float | None) -> str:
    """Milliseconds as `46 ms`, `1.02 s`, `2 min 05 s`."""
    if ms is None:
        return DASH
    if 0 < ms < 1:
        return f"{ms:.1f} ms"
    if round(ms) < _SECOND_MS:
        return f"{ms:.0f} ms"
    if ms < _MINUTE_MS:
        return f"{ms / _SECOND_MS:.2f} s"
    minutes, seconds = divmod(round(ms / _SECOND_MS), _MINUTE_S)
    return f"{minutes} min {seconds:02d} s" if minutes < _MINUTE_S else f"{minutes // 60} h {minutes % 60:02d} min"


def span_of_time(seconds: float | None) -> str:
    """Seconds as the two largest units: `9s`, `1m 32s`, `2h 05m`, `3d 4h`."""
    if seconds is None:
        return DASH
    whole = max(int(seconds), 0)
    if whole < _MINUTE_S:
        return f"{whole}s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S}m {whole % _MINUTE_S:02d}s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S}h {whole % _HOUR_S // _MINUTE_S:02d}m"
    return f"{whole // _DAY_S}d {whole % _DAY_S // _HOUR_S}h"


def ago(at: datetime | None, now: datetime) -> str:
    """How long before `now`."""
    return DASH if at is None else span_of_time((now - at).total_seconds())


def clock(at: datetime | None) -> str:
    """`14:19:26 UTC`."""
    return DASH if at is None else at.astimezone(UTC).strftime("%H:%M:%S UTC")


def hour(at: datetime) -> str:
    """`14:19`."""
    return at.astimezone(UTC).strftime("%H:%M")


def moment(at: datetime | None) -> str:
    """`19 Nov 10:02`."""
    return DASH if at is None else at.astimezone(UTC).strftime("%-d %b %H:%M")


def day(at: datetime | None) -> str:
    """`19 Nov 2026`."""
    return DASH if at is None else at.astimezone(UTC).strftime("%-d %b %Y")


def percent(share: float | None, digits: int = 1) -> str:
    """A share of one as `1.9 %`; whole per cents without `.0`."""
    if share is None:
        return DASH
    text = f"{100 * share:.{digits}f}"
    return _minus((text.rstrip("0").rstrip(".") if "." in text else text) + " %")


def score(value: float | None) -> str:
    """`0.86`."""
    return DASH if value is None else _minus(f"{value:.2f}")


def signed(value: float | None, digits: int = 3) -> str:
    """`+0.023`, `−0.020`."""
    return DASH if value is None else _minus(f"{value:+.{digits}f}")


def measure(value: float | None, unit: str) -> str:
    """A figure in its unit: `score`, `share` (of one), `ms`, `usd` (dollars), `count`, `p` (a p-value); or another."""
    if value is None:
        return DASH
    formatted = {
        "score": lambda: _minus(f"{value:.3f}"),
        "share": lambda: percent(value, 2),
        "ms": lambda: duration(value),
        "usd": lambda: usd(round(value * NANO)),
        "count": lambda: number(value),
        "p": lambda: f"p {value:.3g}",
    }
    return formatted[unit]() if unit in formatted else _minus(f"{value:g} {unit}".strip())


def rate(per_s: float | None) -> str:
    """Times a second: `0.35`, `26.4`, `1,200`."""
    if per_s is None:
        return DASH
    return f"{per_s:.2f}" if 0 < per_s < 1 else f"{per_s:.1f}" if 0 < per_s < 100 else f"{per_s:,.0f}"


def dollars(nano: int) -> str:
    """Nano-USD as a number for a field: `0.5`, `250`."""
    text = f"{nano / NANO:.9f}"
    return text.rstrip("0").rstrip(".")


def host(url: str) -> str:
    """The host of an address, with its port; the address itself when it has none."""
    return urlsplit(url).netloc or url


def plural(count: int, singular: str, several: str = "") -> str:
    """`1 span`, `19 spans`."""
    return f"{number(count)} {singular if count == 1 else several or singular + 's'}"


def size(count: float | None) -> str:
    """Bytes as `135 MB`."""
    if count is None:
        return DASH
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1000
    return f"{count:.3g} TB"


def plain(value: object) -> object:
    """`value` as JSON can hold it: dataclasses become objects, times ISO text, anything unknown its text."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  any mapping
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  any sequence
    return str(value)


def brief(value: object) -> str:
    """Text as it is, anything else as JSON on one line, cut to 300 characters."""
    text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
    return text if len(text) <= 300 else text[:299] + "…"


def told(detail: Mapping[str, object]) -> str:
    """The detail of an audit entry in one line: its reason first, then what has a value; ids stand elsewhere."""
    found: dict[str, object] = {}
    for name, value in detail.items():
        if isinstance(value, Mapping):
            found |= {str(inner): item for inner, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  any mapping
        else:
            found[name] = value
    reason = found.pop("reason", "")
    shown = [
        f"{name.replace('_', ' ')} {brief(value)}"
        for name, value in found.items()
        if value not in (None, "", [], {}) and name != "id" and not name.endswith(("_id", "_at"))
    ]
    return ", ".join(([str(reason)] if reason else []) + shown)


def pretty(value: object) -> str:
    """JSON for people. Text that is JSON already is laid out; other text stays as it is."""
    if isinstance(value, str):
        try:
            parsed: object = json.loads(value)
        except ValueError:
            return value
        return json.dumps(parsed, indent=2, ensure_ascii=False) if value.lstrip()[:1] in {"{", "["} else value
    return json.dumps(plain(value), indent=2, ensure_ascii=False)
