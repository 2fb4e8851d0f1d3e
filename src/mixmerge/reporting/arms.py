"""The arms of a study side by side: the best model of each, what it took, and how it compares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mixmerge.records import Axis
from mixmerge.records.results import Arm, Comparison, Costs, Results
from mixmerge.reporting import cells, formats, models
from mixmerge.reporting.cells import ABSENT, Cell, Table
from mixmerge.reporting.verdict import decision_words, support

EQUAL = 0.05
"""Largest difference from the baseline's rows or operations, as a share, that counts as equal."""


@dataclass(frozen=True)
class ArmRow:
    """The best model of one arm."""

    arm: Arm
    model: str
    baseline: str
    of: int
    """Models of the arm among which it is the best by the prompts that the table shows."""
    chosen: int
    """Models among which it was chosen on other prompts, those of ``selection``."""
    comparison: Comparison | None
    """None for the baseline, and for an arm that is not tested."""


def arm_rows(results: Results) -> list[ArmRow]:
    """Return the baselines, each followed by the arms that are compared with it.

    Empty for a study that only mixes and merges: its other tables say the same.
    """
    if not models.names_arms(results):
        return []
    found = []
    for baseline in dict.fromkeys(results.baselines.values()):
        if baseline not in results.models:
            continue
        own = results.models[baseline].arm
        found.append(ArmRow(own, baseline, baseline, 1, 0, None))
        rivals = [name for name in _rivals(results, baseline) if results.models[name].arm != own]
        for arm in dict.fromkeys(results.models[name].arm for name in rivals):
            members = [name for name in rivals if results.models[name].arm == arm]
            found.append(_best(results, baseline, members))
    return found


def _rivals(results: Results, baseline: str) -> list[str]:
    """Return the models of the stages that have this baseline."""
    stages = [stage for stage, name in results.baselines.items() if name == baseline]
    return [name for stage in stages for name in models.models_of(results, stage)]


def _best(results: Results, baseline: str, members: Sequence[str]) -> ArmRow:
    """Return the model of an arm that the study chose, or else the best-supported one."""
    # A merge with a sweep is chosen, too, but only among its own weights.
    selected = [n for n in members if results.models[n].candidates and not results.models[n].method]
    pool = selected or members
    compared = {
        each.a: each
        for each in results.decisions
        if each.b == baseline and each.decision != "incomplete"
    }

    def order(name: str) -> tuple[float, ...]:
        if name in compared:
            return 0.0, *support(results, compared[name])
        return 1.0, -_total_gain(results, name, baseline)

    model = min(pool, key=order)
    info = results.models[model]
    chosen = info.candidates if selected else 0
    return ArmRow(info.arm, model, baseline, len(pool), chosen, compared.get(model))


def _total_gain(results: Results, name: str, baseline: str) -> float:
    """Return the sum of the differences from the baseline, as shares of the axes' ranges."""
    total = 0.0
    for axis, info in results.deciding.items():
        own, other = (results.models[each].axes.get(axis) for each in (name, baseline))
        if own and other:
            total += info.sign * (own.value - other.value) / (info.bounds[1] - info.bounds[0])
    return total


def is_equal(own: float | None, other: float | None) -> bool | None:
    """Return whether two costs are equal within `EQUAL`; None where one is not known."""
    if not own or not other:
        return None
    return abs(own - other) <= EQUAL * other


def _data(costs: Costs | None) -> int | None:
    return costs.training_rows if costs else None


def _compute(costs: Costs | None) -> int | None:
    return costs.flops if costs else None


def _equal(results: Results, name: str, baseline: str, of: Callable[..., int | None]) -> bool:
    return is_equal(of(results.costs.get(name)), of(results.costs.get(baseline))) is True


def arm_sentences(results: Results) -> list[str]:
    """Say for each baseline how the arms compare at equal data, and at equal compute."""
    if not models.names_arms(results):
        return []
    told = []
    terms = (("data", "training rows", _data), ("compute", "FLOPs", _compute))
    within = f"within {formats.percent(EQUAL, 0)} of"
    for baseline in dict.fromkeys(results.baselines.values()):
        found = [
            (words, f"{unit} {within} {baseline}'s", _at_equal(results, baseline, of))
            for words, unit, of in terms
            if of(results.costs.get(baseline))
        ]
        told += [f"At equal {words} ({unit}), {said}." for words, unit, said in found if said]
        without = [f"equal {words} ({unit})" for words, unit, said in found if not said]
        told += [f"No arm stands at {' or at '.join(without)}."] if without else []
    return told


def _at_equal(results: Results, baseline: str, of: Callable[..., int | None]) -> str:
    tested = [each.a for each in results.decisions if each.b == baseline]
    equal = [name for name in tested if _equal(results, name, baseline, of)]
    words = decision_words(results)
    rows = [
        _best(results, baseline, [name for name in equal if results.models[name].arm == arm])
        for arm in dict.fromkeys(results.models[name].arm for name in equal)
    ]
    told = [
        f"{row.arm} ({row.model}) {words[row.comparison.decision][0]}"
        for row in rows
        if row.comparison
    ]
    return formats.listed(told)


def arm_table(results: Results) -> Table:
    """The best model of each arm beside the baseline: costs, differences and the decision."""
    costs = results.costs
    of = {
        "training_rows": ("Training rows", lambda each: each.training_rows),
        "training_tokens": ("Training tokens", lambda each: each.training_tokens),
        "generated_tokens": ("Generated tokens", lambda each: each.generated_tokens),
        "teacher_tokens": ("Teacher tokens", lambda each: each.teacher_tokens),
        "flops": ("FLOPs", lambda each: each.flops),
    }

    def cost(read: Callable[[Costs], int | None]) -> Callable[[ArmRow], Cell]:
        def cell(row: ArmRow) -> Cell:
            own, other = (costs.get(name) for name in (row.model, row.baseline))
            return _against(read(own) if own else None, read(other) if other else None)

        return cell

    caption = (
        "The best model of each arm, with what it took, the models that it was made from included, "
        "also as a multiple of the baseline's. Differences are the model minus the baseline "
        "on the same prompts, with 95 % intervals, adjusted where it is the best of several on "
        f"these prompts. Equal: within {formats.percent(EQUAL, 0)} of the baseline's training rows "
        "(data) or FLOPs (compute)."
    )
    columns: list[cells.Spec[ArmRow]] = [
        cells.words("arm", "Arm", lambda row: row.arm),
        cells.words("model", "Model", lambda row: row.model),
        cells.words("chosen", "Chosen", _chosen),
        *(cells.numbers(key, title, cost(read)) for key, (title, read) in of.items()),
        *(_difference_column(results, axis) for axis in results.deciding),
        cells.words("equal_data", "Equal data", lambda row: _yes(results, row, _data)),
        cells.words("equal_compute", "Equal compute", lambda row: _yes(results, row, _compute)),
        cells.words("decision", "Decision", lambda row: _decision(results, row)),
    ]
    rows = arm_rows(results)
    marks = (row.comparison.decision if row.comparison else "" for row in rows)
    return cells.tabulate("arms", "Arms", caption, rows, columns, marks)


def _against(own: int | None, other: int | None) -> Cell:
    if not own:
        return ABSENT
    text = formats.scientific(own) if own >= 10**10 else formats.count(own)
    return Cell(text, own, None, f"{own / other:.2f} times" if other else "")


def _chosen(row: ArmRow) -> str:
    if row.model == row.baseline:
        return "baseline"
    if row.chosen:
        return f"of {row.chosen}, on development items"
    return f"best of {row.of}" if row.of > 1 else "the only one"


def _yes(results: Results, row: ArmRow, of: Callable[..., int | None]) -> str | Cell:
    own, other = (of(results.costs.get(name)) for name in (row.model, row.baseline))
    equal = is_equal(own, other)
    return ABSENT if equal is None or row.model == row.baseline else "yes" if equal else "no"


def _decision(results: Results, row: ArmRow) -> str | Cell:
    if row.comparison is None:
        return ABSENT
    return decision_words(results)[row.comparison.decision][0]


def _difference_column(results: Results, axis: Axis) -> cells.Spec[ArmRow]:
    info = results.axes[axis]

    def cell(row: ArmRow) -> Cell:
        from mixmerge.stats.proportions import widening

        found = results.contrast(row.model, row.baseline, axis)
        if found is None:
            return ABSENT
        ci = found.ci
        if ci:
            wider = widening(found.n, row.of)
            low, high = (found.difference + wider * (end - found.difference) for end in ci)
            ci = low, high
        return cells.difference(info, found.difference, ci)

    title = f"{formats.heading(results, axis)}{formats.unit_of_differences(info)}"
    return cells.estimates(f"{axis}_difference", title, cell)
