"""Format numbers, and the values of an axis with their names and units.

Every number of the report is formatted here, so that tables, page and terminal agree.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from mixmerge.records import Axis
from mixmerge.records.results import AxisInfo, Interval, Results

MINUS = "−"
SPACE = "\N{NO-BREAK SPACE}"
NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def signed(value: float, digits: int = 1) -> str:
    """Format a number with its sign and a true minus; zero after rounding has no sign."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else MINUS) + text


def decimal(value: float, digits: int = 2) -> str:
    """Format a number with a true minus; zero after rounding has no sign."""
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


def bare_percent(rate: float) -> str:
    """Format a fraction in percent without the percent sign, as within an interval."""
    return decimal(rate * 100, 1)


def ends(ci: Interval | None, write: Callable[[float], str]) -> str:
    """Format both ends of an interval; empty without one."""
    return " to ".join(map(write, ci or ()))


def listed(parts: Sequence[str]) -> str:
    """Join words as in a sentence: ``a, b and c``."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def p_value(p: float) -> str:
    """Write a p-value as ``p = 0.012`` or ``p < 0.001``, with spaces that do not break."""
    return f"p{SPACE}<{SPACE}0.001" if p < 0.001 else f"p{SPACE}={SPACE}{p:.3f}"


def share(fraction: float) -> str:
    """Write a share without needless decimals: 0.15 becomes ``15 %``, 0.125 ``12.5 %``."""
    return f"{fraction * 100:.4g}{NARROW_SPACE}%"


def count(number: int) -> str:
    """Group the digits of a large number: 1234567 becomes ``1 234 567``."""
    return f"{number:,}".replace(",", NARROW_SPACE)


def scientific(number: float) -> str:
    """Write a large number with three digits: 5130000000 becomes ``5.13 × 10⁹``."""
    mantissa, exponent = f"{number:.2e}".split("e")
    power = str(int(exponent)).translate(_SUPERSCRIPTS)
    return "0" if number == 0 else f"{mantissa.replace('-', MINUS)}{SPACE}×{SPACE}10{power}"


def dollars(by_kind: Mapping[str, float]) -> str:
    """Format spending, in total and by kind: ``$1.50 (generate $1.20, judge $0.30)``."""
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


def heading(results: Results, axis: Axis) -> str:
    """Return the heading of an axis's values: its name and its measure."""
    title = results.axes[axis].title
    return axis if axis.lower() == title.lower() else f"{axis}: {title}"


def phrase(results: Results, axis: Axis) -> str:
    """Return an axis as named within a sentence; with its own name if the measure is ambiguous."""
    own = results.axes[axis].phrase
    same = sum(info.phrase == own for info in results.axes.values())
    return own if same == 1 and len(results.deciding) <= 2 else f"{own} on {axis}"


def better(info: AxisInfo) -> str:
    """Return which direction is good, in words."""
    return f"{info.better} is better"


def on_all(results: Results) -> str:
    """Return `` on both axes`` or `` on all 3 axes``, by the deciding axes; empty for one."""
    number = len(results.deciding)
    return "" if number < 2 else " on both axes" if number == 2 else f" on all {number} axes"


def value(info: AxisInfo, found: float) -> str:
    """Write a value of the axis."""
    if info.unit == "percent":
        return percent(found)
    return decimal(found, _digits(info))


def interval(info: AxisInfo, ci: Interval | None) -> str:
    """Write an interval of values."""
    return ends(ci, bare_percent if info.unit == "percent" else partial(value, info))


def difference(info: AxisInfo, found: float) -> str:
    """Format a difference of two values with its sign, in percentage points or score units."""
    return points(found) if info.unit == "percent" else signed(found, _digits(info))


def difference_in_words(info: AxisInfo, found: float) -> str:
    """Write a difference within a sentence, with its unit: ``+2.0 points``."""
    return difference(info, found) + " points" * (info.unit == "percent")


def margin(info: AxisInfo) -> str:
    """Format the smallest difference that matters."""
    number = 100 * info.margin if info.unit == "percent" else info.margin
    return f"{number:.3g}{' points' * (info.unit == 'percent')}"


def unit_of_differences(info: AxisInfo) -> str:
    """Return the unit after the heading of differences: percentage points are not percent."""
    return ", points" if info.unit == "percent" else ""


def _digits(info: AxisInfo) -> int:
    """Return the number of decimals that show a thousandth of the scale."""
    low, high = info.bounds
    return max(0, 3 - math.ceil(math.log10(high - low)))
