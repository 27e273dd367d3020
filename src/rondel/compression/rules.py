"""What may be compressed, what the figures say, and how two latencies are compared."""

from collections.abc import Mapping, Sequence
from math import comb
from statistics import median

from rondel.compression.models import Interval, Recipe, Shrunk, Speeds
from rondel.errors import Invalid, did_you_mean
from rondel.evaluation.models import Comparison
from rondel.registry.models import ModelFormat, ModelKind, ModelVersion


def check(recipe: Recipe, source: ModelVersion, types: Sequence[str]) -> None:
    """Refuse what cannot be done or would change nothing.

    Raises:
        Invalid: the sentence says what.
    """
    if recipe.to not in types:
        raise Invalid(f"Compressor {recipe.compressor!r} cannot make {recipe.to!r}. {did_you_mean(recipe.to, types)}")
    if source.kind is ModelKind.ADAPTER:
        raise Invalid(f"{source.ref!r} is an adapter: merge it into its parent, and compress what comes of that.")
    if source.format is not ModelFormat.GGUF:
        raise Invalid(f"{source.ref!r} is kept as {source.format.value}: a GGUF file can be compressed.")
    if main_type(source) == recipe.to:
        raise Invalid(f"{source.ref!r} is {recipe.to} already.")


def main_type(version: ModelVersion) -> str:
    """The type that most of a version's values have."""
    return max(version.tensor_types.items(), key=lambda item: item[1].values)[0]


def name_of(recipe: Recipe, source: ModelVersion) -> str:
    """The name of what is made: as asked, else the source's with the type: `smollm2-q8_0`."""
    return recipe.name or f"{source.name}-{recipe.to.lower()}"


def speeds(before_s: Sequence[float], after_s: Sequence[float], same: Sequence[bool]) -> Speeds:
    """Compare latencies in seconds, paired by request."""
    ratios = [after / before for before, after in zip(before_s, after_s, strict=True)]
    return Speeds(
        n=len(ratios),
        before_ms=median(before_s) * 1000,
        after_ms=median(after_s) * 1000,
        ratio=median_interval(ratios),
        same_answers=sum(same) / len(same),
    )


def median_interval(values: Sequence[float]) -> Interval:
    """The median with its 95 % interval from order statistics: exact for any distribution, the whole range below 6.

    Source: Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2.
    """
    ordered, n = sorted(values), len(values)
    cut, tail = 0, 0.0
    while cut < n // 2 and 2 * (tail + comb(n, cut) / 2**n) <= 0.05:
        tail += comb(n, cut) / 2**n
        cut += 1
    cut = max(cut - 1, 0)
    return Interval(median(ordered), ordered[cut], ordered[n - 1 - cut])


def figures(source: ModelVersion, shrunk: Shrunk) -> Mapping[str, float]:
    """Sizes in MB (1e6 bytes) and the error of the weights, as metrics of the new version."""
    return {
        "megabytes": shrunk.size / 1e6,
        "parent_megabytes": source.size / 1e6,
        "size_ratio": shrunk.size / source.size,
        "weight_error": shrunk.weight_error,
    }


def speed_figures(measured: Speeds) -> Mapping[str, float]:
    """The speeds as metrics of the new version."""
    return {
        "latency_ms": measured.after_ms,
        "parent_latency_ms": measured.before_ms,
        "latency_ratio": measured.ratio.value,
        "latency_ratio_low": measured.ratio.low,
        "latency_ratio_high": measured.ratio.high,
        "latency_n": float(measured.n),
        "same_answers": measured.same_answers,
    }


def quality_figures(comparison: Comparison) -> Mapping[str, float]:
    """An evaluation of both as metrics of the new version."""
    metric = comparison.metric
    return {
        metric: comparison.b_mean,
        f"parent_{metric}": comparison.a_mean,
        f"{metric}_difference": comparison.value,
        f"{metric}_difference_low": comparison.low,
        f"{metric}_difference_high": comparison.high,
        f"{metric}_n": float(comparison.n),
    }


def size_sentence(source: ModelVersion, name: str, to: str, shrunk: Shrunk) -> str:
    """What became of the size, honestly when it grew."""
    was, now = source.size / 1e6, shrunk.size / 1e6
    if shrunk.size < source.size:
        change = f"{was / now:.2f} times smaller"
    else:
        change = f"larger than its parent, whose weights had been rounded to {main_type(source)} before"
    error = f"its weights are {shrunk.weight_error:.2%} off"
    return f"{name} ({to}) has {now:.1f} MB after {was:.1f} MB: {change}; {error}."


def speed_sentence(measured: Speeds) -> str:
    """What became of the latency."""
    ratio, low, high = measured.ratio
    says = "faster" if high < 1 else "slower" if low > 1 else "no difference seen"
    return (
        f"Latency {measured.before_ms:.0f} ms before, {measured.after_ms:.0f} ms after; ratio {ratio:.2f} "
        f"[{low:.2f}, {high:.2f}] over {measured.n} paired requests: {says}."
    )
