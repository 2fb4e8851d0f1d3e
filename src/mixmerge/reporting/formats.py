"""Numbers as people read them: percent, percentage points, p-values, times, counts.

Every number of the report passes through here, so that tables, page and terminal agree.
"""

from collections.abc import Mapping, Sequence

MINUS = "−"
SPACE = "\N{NO-BREAK SPACE}"
NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"


def signed(value: float, digits: int = 1) -> str:
    """Write a number with its sign and a true minus; what rounds to zero has none."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else MINUS) + text


def significant(value: float) -> str:
    """Write a number with three significant digits and a true minus."""
    return f"{value:.3g}".replace("-", MINUS)


def decimal(value: float, digits: int = 2) -> str:
    """Write a number with a true minus; what rounds to zero has none."""
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", MINUS)


def percent(rate: float, digits: int = 1) -> str:
    """Write a fraction as percent: 0.712 becomes ``71.2 %``."""
    return decimal(rate * 100, digits) + NARROW_SPACE + "%"


def change(rate: float) -> str:
    """Write a relative change as signed percent: -0.547 becomes ``−54.7 %``."""
    return signed(rate * 100) + NARROW_SPACE + "%"


def points(difference: float) -> str:
    """Write a difference of fractions in percentage points: 0.07 becomes ``+7.0``."""
    return signed(difference * 100)


def percent_interval(ci: Sequence[float]) -> str:
    """Write an interval of fractions in percent, without repeating the sign of percent."""
    low, high = (decimal(end * 100, 1) for end in ci)
    return f"{low} to {high}"


def points_interval(ci: Sequence[float]) -> str:
    """Write an interval of differences in percentage points."""
    return f"{points(ci[0])} to {points(ci[1])}"


def p_value(p: float) -> str:
    """Write a p-value as ``p = 0.012`` or ``p < 0.001``, with spaces that do not break."""
    return f"p{SPACE}<{SPACE}0.001" if p < 0.001 else f"p{SPACE}={SPACE}{p:.3f}"


def share(fraction: float) -> str:
    """Write a share without needless decimals: 0.15 becomes ``15 %``, 0.125 ``12.5 %``."""
    return f"{fraction * 100:.4g}{NARROW_SPACE}%"


def count(number: int) -> str:
    """Group the digits of a large number: 1234567 becomes ``1 234 567``."""
    return f"{number:,}".replace(",", NARROW_SPACE)


def dollars(by_kind: Mapping[str, float]) -> str:
    """Write what was spent, altogether and on what: ``$1.50 (generate $1.20, judge $0.30)``."""
    parts = ", ".join(f"{kind} ${amount:,.2f}" for kind, amount in by_kind.items())
    return f"${sum(by_kind.values()):,.2f} ({parts})"


def duration(seconds: float) -> str:
    """Write seconds in the unit that reads best: ``4.2 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f}{NARROW_SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NARROW_SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{NARROW_SPACE}min {whole % 60:02d}{NARROW_SPACE}s"
    minutes = round(seconds / 60)
    return f"{minutes // 60}{NARROW_SPACE}h {minutes % 60:02d}{NARROW_SPACE}min"
