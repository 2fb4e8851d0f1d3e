"""Looks at a comparison before all planned items are there."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from mixmerge.comparison.result import Pair
from mixmerge.errors import SpecError
from mixmerge.stats.decision import SIGNIFICANCE
from mixmerge.stats.sequential import sequential_p, widening

SAID = (
    "p is of this look alone; adj. p, intervals and verdicts allow for all looks, and do not "
    "compare with those of an evaluation that was looked at once. After a stop, differences are "
    "larger than they are in truth"
)


@dataclass(frozen=True)
class Looks:
    """How many items there will be, and at how many of them somebody looked before."""

    planned: int
    earlier: tuple[int, ...]

    def at(self, pair: Pair) -> Pair:
        """Return a comparison with a p-value and an interval that allow for all looks.

        Only the last look's p-value is known. The earlier ones count by what they have spent: they
        did not end the comparison, or this one would not be made.

        Raises:
            SpecError: there are no more items than at an earlier look.
        """
        if self.earlier and pair.items <= self.earlier[-1]:
            raise SpecError(
                f"--looked {self.earlier[-1]}: {pair.a} and {pair.b} have {pair.items:,} common "
                f"items on {pair.axis}; more than at an earlier look are required."
            )
        fractions = [items / self.planned for items in self.earlier]
        fractions.append(min(1.0, pair.items / self.planned))
        p = sequential_p([*[1.0] * len(self.earlier), pair.p], fractions)
        ci, absent = pair.ci, dict(pair.absent)
        if ci is not None:
            factor = widening(SIGNIFICANCE, fractions)
            low, high = (pair.difference + factor * (end - pair.difference) for end in ci)
            ci = (low, high) if math.isfinite(factor) else None
            absent |= {} if ci else {"ci": "the look is too early for an interval"}
        return pair.model_copy(
            update={
                "p_sequential": p,
                "fraction": fractions[-1],
                "ci": ci,
                "absent": absent,
                "needed": None,
                "detectable": None,
            }
        )


def looks(planned: int | None, earlier: Sequence[int], seeds: bool) -> Looks | None:
    """Return the looks that are asked for; None without a plan.

    Raises:
        SpecError: they are not in order, or there are seeds.
    """
    if planned is None:
        if earlier:
            raise SpecError("--looked: --of, the number of items planned in all, is required, too.")
        return None
    if seeds:
        raise SpecError("--of: with --seeds there is one look, when all trainings are there.")
    steps = [0, *earlier, planned]
    if any(after <= before for before, after in itertools.pairwise(steps)):
        raise SpecError(
            f"--looked: rising numbers of items below --of {planned} are required (seen: "
            f"{', '.join(map(str, earlier))})."
        )
    return Looks(planned, tuple(earlier))
