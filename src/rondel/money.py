"""Money is an integer count of nano-dollars; what is unknown is `None`, never 0."""

from decimal import ROUND_HALF_EVEN, Decimal

from rondel.errors import Invalid

NANO = 1_000_000_000


def nano(usd: Decimal | str | float) -> int:
    """Nano-dollars of an amount in dollars, rounded half to even."""
    return int((Decimal(str(usd)) * NANO).to_integral_value(ROUND_HALF_EVEN))


def nano_of(text: str) -> int:
    """Nano-dollars of what a person wrote, such as 2.50.

    Raises:
        Invalid: it is no amount, or below nothing.
    """
    try:
        amount = nano(text.removeprefix("$"))
    except (ArithmeticError, ValueError) as error:
        raise Invalid(f"{text!r} is no amount of dollars: write it as 2.50.") from error
    if amount < 0:
        raise Invalid(f"{text!r} is below nothing: write an amount of dollars as 2.50.")
    return amount


def usd(amount: int | None) -> str:
    """`$0.00042` for people: two significant digits below a cent, cents above; a dash when unknown."""
    if amount is None:
        return "–"
    if amount == 0:
        return "$0"
    sign, value = ("-" if amount < 0 else ""), Decimal(abs(amount)) / NANO
    if value >= Decimal("0.01"):
        return f"{sign}${value:,.2f}"
    digits = -value.adjusted() + 1
    return f"{sign}${value:.{digits}f}"


def exact(amount: int) -> str:
    """`$0.025`, `$2.50`: a price, of which no digit is left out."""
    whole, rest = divmod(amount, NANO)
    return f"${whole:,}.{f'{rest:09d}'.rstrip('0').ljust(2, '0')}" if amount else "$0"
