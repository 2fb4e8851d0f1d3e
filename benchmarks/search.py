"""How good a front a search finds for its answers, against other ways to choose.

    python -m benchmarks.search FOLDER --table     # answer and judge every merge of the table, once
    python -m benchmarks.search FOLDER             # let everyone choose among them

Two experts of the testbed are merged by three methods at 21 weights, TIES at five densities, and
every merge answers all prompts of `selection`. The strategies then choose in the whole space, and
each candidate gets the answers of the nearest merge of the table, on as many prompts as the
strategy asks for. Compared are our search, random candidates (both ration prompts), Optuna's
NSGA-II, and a grid of nine weights for each method, which ask all prompts. Ten seeds. What counts
is the hypervolume of at most six members that are chosen by what was asked, computed from all
prompts, as a share of that of the whole table. NSGA-II needs `pip install optuna==5.0.0`.
"""

import argparse
import json
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixmerge.evaluation.journal import Journal
from mixmerge.execution.events import ignore
from mixmerge.searching.asker import Network
from mixmerge.searching.experts import make
from mixmerge.searching.front import choose_members
from mixmerge.searching.loop import Loop
from mixmerge.searching.models import StudyObjective
from mixmerge.searching.objective import Measured, Price, Trial
from mixmerge.searching.run import PreparedSearch, prepare_search, selection_of
from mixmerge.searching.space import Candidate, Space
from mixmerge.searching.strategies import STRATEGIES
from mixmerge.stats.pareto import hypervolume
from mixmerge.yaml_file import to_yaml

WEIGHTS = np.linspace(0, 1, 21)
DENSITIES = np.linspace(0, 1, 5)
"""Places between the ends of the range."""
METHODS = ("linear", "slerp", "ties")
NINE = np.linspace(0.1, 0.9, 9)
BUDGETS = (0.2, 0.3, 0.5, 1.0)
"""Answers, as shares of those of the grid."""
SEEDS = 10
MEMBERS = 6
SEARCH = {
    "models": ["general", "safety"],
    "methods": [*METHODS],
    "weights": "simplex",
    "parameters": {"density": [0.2, 1]},
    "constraints": [],
    "budget": {"candidates": 1000},
    "screen": 0.4,
}

Table = Mapping[str, Sequence[Mapping[str, Any]]]
"""The evidence of every look, by key."""


@dataclass
class Lookup:
    """An objective that answers from the table; see `mixmerge.searching.objective.Objective`."""

    own: StudyObjective
    table: Table
    cells: Sequence[Candidate]

    goals = property(lambda self: self.own.goals)
    constraints = property(lambda self: self.own.constraints)
    reference = property(lambda self: self.own.reference)

    def prices(self) -> list[Price]:
        """Return those of the study."""
        return self.own.prices()

    def ask(self, candidate: Candidate, look: int) -> Mapping[str, Any]:
        """Return the evidence of the nearest cell of the same method."""
        return self.table[self.nearest(candidate).key][look]

    def measure(self, evidence: Sequence[Mapping[str, Any]]) -> Measured:
        """Estimate as a search does."""
        return self.own.measure(evidence)

    def nearest(self, candidate: Candidate) -> Candidate:
        """Return the nearest cell of the same method."""
        same = [cell for cell in self.cells if cell.point.method == candidate.point.method]
        place = np.array(candidate.point.cube)
        return min(same, key=lambda cell: float(np.abs(np.array(cell.point.cube) - place).sum()))

    def truth(self, candidates: Sequence[Candidate]) -> float:
        """Return the hypervolume of candidates by all prompts."""
        told = [self.measure(self.table[self.nearest(each).key]).values for each in candidates]
        return float(hypervolume(np.array(told), self.reference))


def cells_of(space: Space) -> list[Candidate]:
    """Return every merge of the table."""
    found = []
    for method in METHODS:
        densities = DENSITIES if space.used(method)[1] else DENSITIES[:1]
        for weight in WEIGHTS:
            for density in densities:
                cell = space.candidate(space.point(method, (float(weight), float(density))))
                if cell is not None:
                    found.append(cell)
    return found


def prepared(folder: Path) -> PreparedSearch:
    """Write the study of the benchmark, and read it."""
    folder.mkdir(parents=True, exist_ok=True)
    example = Path(__file__).parents[1] / "examples" / "search.yaml"
    file = folder / "study.yaml"
    file.write_text(to_yaml({"extends": str(example), "search": SEARCH}))
    return prepare_search(file, folder / "run")


def filled(folder: Path, *, fill: bool) -> Lookup:
    """Return the table, after filling what is missing if asked to."""
    search = prepared(folder)
    experts = make(search.prepared, selection_of(search.study), ignore, 2)
    objective = search.objective(
        experts, Network(search.study, experts.models, experts.base), folder / "answers"
    )
    cells = cells_of(search.space)
    table: dict[str, list[Mapping[str, Any]]] = {}
    with closing(Journal(folder / "table.ndjson")) as journal:
        for number, cell in enumerate(cells):
            for look in range(len(objective.prices())):
                key = f"{cell.key}/{look}"
                if key not in journal:
                    if not fill:
                        raise SystemExit(f"{folder}: fill the table first, with --table")
                    journal.append(key, dict(objective.ask(cell, look)))
                table.setdefault(cell.key, []).append(journal[key])
            if fill:
                print(f"{number + 1} of {len(cells)}", flush=True)
    return Lookup(objective, table, cells)


def searched(lookup: Lookup, strategy: str, seed: int) -> list[float]:
    """Return the hypervolume of a search at every budget; a larger one goes on from a smaller."""
    base = prepared_spec().model_copy(update={"strategy": strategy})
    journal: MutableMapping[str, Any] = {}
    found = []
    for answers in budgets(lookup):
        budget = base.budget.model_copy(update={"candidates": None, "answers": answers})
        space = Space(base.model_copy(update={"budget": budget}))
        trials = Loop(space, lookup, STRATEGIES[strategy], journal, seed=seed).run()
        found.append(chosen(lookup, trials, seed))
    return found


def evolved(lookup: Lookup, seed: int) -> list[float]:
    """Return the hypervolume of NSGA-II at every budget; it asks all prompts of each candidate."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space, whole = Space(prepared_spec()), sum(price.answers for price in lookup.prices())
    trials: list[Trial] = []

    def tried(trial: Any) -> tuple[float, ...]:
        method = trial.suggest_categorical("method", METHODS)
        cube = (trial.suggest_float("weight", 0, 1), trial.suggest_float("density", 0, 1))
        candidate = space.candidate(space.point(method, cube))
        assert candidate is not None
        evidence = [lookup.ask(candidate, look) for look in range(len(lookup.prices()))]
        measured = lookup.measure(evidence)
        trials.append(Trial(len(trials) + 1, candidate, evidence, measured))
        return measured.values

    study = optuna.create_study(
        directions=["maximize"] * len(lookup.goals),
        sampler=optuna.samplers.NSGAIISampler(population_size=8, seed=seed),
    )
    study.optimize(tried, n_trials=budgets(lookup)[-1] // whole)
    return [chosen(lookup, trials[: answers // whole], seed) for answers in budgets(lookup)]


def gridded(lookup: Lookup) -> tuple[float, int]:
    """Return the hypervolume of the grid, and its answers."""
    candidates = grid(lookup)
    trials = [
        Trial(n + 1, each, [*lookup.table[each.key]], lookup.measure(lookup.table[each.key]))
        for n, each in enumerate(candidates)
    ]
    return chosen(lookup, trials, 0), budgets(lookup)[-1]


def grid(lookup: Lookup) -> list[Candidate]:
    """Return nine weights of each method, at the middle density."""
    space = Space(prepared_spec())
    points = [space.point(method, (float(w), 0.5)) for method in METHODS for w in NINE]
    made = [space.candidate(point) for point in points]
    return [lookup.nearest(each) for each in made if each is not None]


def budgets(lookup: Lookup) -> list[int]:
    """Return the answers of every budget."""
    whole = sum(price.answers for price in lookup.prices()) * len(METHODS) * len(NINE)
    return [round(share * whole) for share in BUDGETS]


def prepared_spec() -> Any:
    """Return the search of the benchmark."""
    from mixmerge.study.search_spec import SearchSpec

    return SearchSpec.model_validate(SEARCH)


def chosen(lookup: Lookup, trials: Sequence[Trial], seed: int) -> float:
    """Return the true hypervolume of the members that are chosen by what was asked."""
    if not trials:
        return 0.0
    members = choose_members(trials, lookup.reference, MEMBERS, seed)
    return lookup.truth([member.candidate for member in members])


def main() -> None:
    """Fill the table, or compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", action="store_true", help="fill the table")
    asked = parser.parse_args()
    lookup = filled(asked.folder, fill=asked.table)
    if asked.table:
        return
    every = lookup.truth(lookup.cells)
    at_grid, answers = gridded(lookup)
    print(f"whole table {every:.4f}; grid {at_grid / every:.1%} with {answers:,} answers")
    found: dict[str, list[list[float]]] = {
        "bayes": [searched(lookup, "bayes", seed) for seed in range(SEEDS)],
        "random": [searched(lookup, "random", seed) for seed in range(SEEDS)],
        "NSGA-II": [evolved(lookup, seed) for seed in range(SEEDS)],
    }
    (asked.folder / "found.json").write_text(json.dumps({"all": every, "grid": at_grid} | found))
    print("| answers of the grid | " + " | ".join(found) + " |")
    print("|---:|" + "---:|" * len(found))
    for place, share in enumerate(BUDGETS):
        cells = []
        for rows in found.values():
            low, middle, high = np.quantile([row[place] / every for row in rows], (0.25, 0.5, 0.75))
            cells.append(f"{middle:.1%} ({low:.1%} to {high:.1%})")
        print(f"| {share:.0%} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
