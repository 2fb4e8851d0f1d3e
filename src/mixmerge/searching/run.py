"""``mixmerge search``: from a study file to a front, its recipes and its page."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixmerge.durable import claimed
from mixmerge.errors import SpecError
from mixmerge.evaluation.journal import Journal
from mixmerge.evaluation.judges import members
from mixmerge.evaluation.spec import EvaluateSpec
from mixmerge.execution.events import Listener, ignore
from mixmerge.execution.plan import plan
from mixmerge.execution.store import Store
from mixmerge.files import write_json, write_text
from mixmerge.fingerprint import fingerprint
from mixmerge.merging.methods import METHODS
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Prompt
from mixmerge.searching.asker import Asker, Network, read_judged
from mixmerge.searching.experts import Experts, make, part_of
from mixmerge.searching.front import choose_members
from mixmerge.searching.loop import Loop, require_start
from mixmerge.searching.models import StudyObjective, prices
from mixmerge.searching.objective import Price, Trial
from mixmerge.searching.page import write_page
from mixmerge.searching.prompts import Looks, looks, prompts_of
from mixmerge.searching.report import Ended, Fresh, front_names, recipe_of, result_of
from mixmerge.searching.result import SearchResult
from mixmerge.searching.space import Space
from mixmerge.searching.strategies import STRATEGIES, Strategy
from mixmerge.spec_model import unknown_name
from mixmerge.study.checkpoints import Merged
from mixmerge.study.preflight import Finding
from mixmerge.study.run import Prepared, prepare
from mixmerge.study.search_spec import Limit, SearchSpec
from mixmerge.study.spec import BASE, Study
from mixmerge.study.steps import steps
from mixmerge.study.steps.generate import decoding_of
from mixmerge.study.steps.kind import model_path
from mixmerge.yaml_file import to_yaml

FOLDER = "search"
"""Folder of the search in the run folder, with one folder for each question that was searched."""
RESULT = "search.json"
PAGE = "search.html"
FRONT = "front.yaml"
_LOCK = "lock"
_JOURNAL = "journal.ndjson"
_PATIENCE = 1.0
"""Seconds to wait for a search that was killed to end."""


@dataclass(frozen=True)
class Found:
    """The outputs of a search."""

    result: SearchResult
    result_file: Path
    page_file: Path
    """Table and figures."""
    front_file: Path
    """A study file with the members as checkpoints, beside those of the study."""
    written: Mapping[str, Path]
    """Folders of the members' weights, if they were asked for."""


@dataclass(frozen=True)
class PreparedSearch:
    """A search that has been read and checked; nothing has run."""

    prepared: Prepared
    spec: SearchSpec
    strategy: Strategy
    space: Space
    asked: Looks

    @property
    def study(self) -> Study:
        """The study."""
        return self.prepared.study

    @property
    def root(self) -> Path:
        """The run folder."""
        return self.prepared.root

    def run(
        self,
        *,
        workers: int | None = None,
        write: bool = False,
        listener: Listener = ignore,
        progress: Progress = silent,
    ) -> Found:
        """Search; see `search`."""
        folder = self.root / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        with claimed(folder / _LOCK, "search", patience=_PATIENCE):
            return self._run(folder, workers, write, listener, progress)

    def _run(
        self, folder: Path, workers: int | None, write: bool, listener: Listener, progress: Progress
    ) -> Found:
        study = self.study
        experts = make(self.prepared, selection_of(study), listener, workers)
        own = folder / self._identity(experts)[:8]
        network = Network(study, experts.models, experts.base)
        objective = self.objective(experts, network, own)
        with closing(Journal(own / _JOURNAL)) as journal:
            loop = Loop(
                self.space, objective, self.strategy, journal, seed=study.seed, progress=progress
            )
            trials = loop.run()
            chosen = choose_members(trials, objective.reference, self.spec.members, study.seed)
            reported = make(self.prepared, study.evaluate, listener, workers)
            fresh = self._ask_again(chosen, reported, network, journal, own, progress)
        ended = Ended(trials, chosen, loop.spent, loop.notes, objective)
        result = result_of(study, self.space, ended, fresh)
        front = self._publish(result, chosen)
        written = self._write_models(chosen, listener, workers) if write else {}
        write_page(result, self.root / PAGE)
        return Found(result, self.root / RESULT, self.root / PAGE, front, written)

    def _identity(self, experts: Experts) -> str:
        """Return what decides every answer and every choice of the search, except for the budget.

        So a search with a larger budget goes on where the smaller one ended.
        """
        return fingerprint(
            [
                self.spec.model_dump(mode="json", exclude={"budget", "members"}),
                [METHODS[name].version for name in self.spec.methods],
                dict(experts.keys),
                _asked_of(experts.study),
                [_told(look) for look in self.asked],
                self.study.selection and self.study.selection.limits,
                self.study.seed,
            ]
        )

    def objective(self, experts: Experts, network: Network, folder: Path) -> StudyObjective:
        """Return what candidates are asked, with their answers in a folder."""
        evaluate = experts.study.evaluate
        axes = evaluate.judged
        return StudyObjective(
            asker=_asker(experts, network, self.root),
            asked=self.asked,
            axes=dict(axes),
            goals=evaluate.deciding,
            limits=_limits(self.study, self.spec),
            base=experts.known(BASE) if self.spec.keeps_languages else {},
            keeps_languages=self.spec.keeps_languages,
            experts={name: experts.known(name) for name in self.spec.models},
            folder=folder,
        )

    def _ask_again(
        self,
        members: Sequence[Trial],
        reported: Experts,
        network: Network,
        journal: Journal,
        folder: Path,
        progress: Progress,
    ) -> Fresh:
        """Ask the members of the front what the study reports."""
        asker = _asker(reported, network, self.root)
        prompts = prompts_of(reported.study)
        question = fingerprint([_asked_of(reported.study), dict(reported.keys), *_told(prompts)])
        verdicts = []
        for number, member in enumerate(members):
            progress(number, len(members), "members of the front")
            name = f"{member.candidate.key}-{question[:8]}"
            place = folder / "front" / name
            if f"front/{name}" not in journal:
                asker.verdicts(member.candidate, prompts, place)
                journal.append(f"front/{name}", True)
            verdicts.append(read_judged(reported.study.evaluate, place))
        answers = prices(reported.study.evaluate, [prompts])[0].answers * len(members)
        return Fresh(reported, prompts, verdicts, answers)

    def _publish(self, result: SearchResult, members: Sequence[Trial]) -> Path:
        write_json(self.root / RESULT, result.model_dump(mode="json"))
        checkpoints = {
            name: {"merge": recipe_of(trial)} for name, trial in front_names(members).items()
        }
        content: dict[str, Any] = {"checkpoints": checkpoints}
        if self.prepared.file is not None:
            content = {"extends": str(self.prepared.file.absolute()), **content}
        said = "# The front of a search, beside the checkpoints of its study, for `mixmerge run`.\n"
        write_text(self.root / FRONT, said + to_yaml(content))
        return self.root / FRONT

    def _write_models(
        self, members: Sequence[Trial], listener: Listener, workers: int | None
    ) -> dict[str, Path]:
        """Write the members' weights by the ordinary step of a merge; return the folders."""
        named = front_names(members)
        part = part_of(self.study, self.study.evaluate)
        merges = {name: Merged(merge=trial.candidate.merge) for name, trial in named.items()}
        study = part.model_copy(update={"checkpoints": {**part.checkpoints, **merges}})
        own = replace(self.prepared, study=study, steps=steps(study))
        own.run(listener, workers=workers, only=[f"merge/{name}" for name in named])
        done = {item.step.id: item.folder for item in plan(own.steps, Store(own.root))}
        folders = {name: done[f"merge/{name}"] for name in named}
        return {name: model_path(folder) for name, folder in folders.items() if folder}


def prepare_search(
    study: Path | str | Study,
    out: Path | str | None = None,
    *,
    seed: int | None = None,
    strategy: str | None = None,
) -> PreparedSearch:
    """Read and check a study and its search, without running or writing anything.

    The arguments are those of `search`.

    Raises:
        SpecError: the study is invalid, has no search, or its budget ends before it begins.
        ResourceError: the strategy needs a package that is not installed.
    """
    prepared = prepare(study, out, seed=seed)
    spec = prepared.study.search
    if spec is None:
        found = Finding((), "the study has no section `search`: what to merge, for which budget.")
        raise SpecError(found.said(prepared.file))
    spec = spec if strategy is None else spec.model_copy(update={"strategy": strategy})
    if spec.strategy not in STRATEGIES:
        said = unknown_name(spec.strategy, "strategies", STRATEGIES)
        raise SpecError(Finding(("search", "strategy"), said).said(prepared.file))
    chosen, space = STRATEGIES[spec.strategy], Space(spec)
    chosen.check()
    part = part_of(prepared.study, selection_of(prepared.study))
    same = {axis: part.evaluate.answered(axis) for axis in part.evaluate.judged}
    asked = looks(prompts_of(part), spec.screen, prepared.study.seed, same)
    price = prices(part.evaluate, asked)
    if not _ends(spec, part.evaluate, price[0]):
        said = "no judge is a model that costs calls or dollars, so this limits nothing: name "
        place = ("search", "budget")
        raise SpecError(Finding(place, f"{said}`candidates`.").said(prepared.file))
    require_start(space, chosen, price)
    return PreparedSearch(prepared, spec, chosen, space, asked)


def search(
    study: Path | str | Study,
    out: Path | str | None = None,
    *,
    seed: int | None = None,
    strategy: str | None = None,
    workers: int | None = None,
    write: bool = False,
    listener: Listener = ignore,
    progress: Progress = silent,
) -> Found:
    """Search among merges for the best trade-offs of a study's deciding axes, under a budget.

    Candidates are merged into one loaded model in memory and answer the prompts of ``selection``.
    The members of the front that is found answer the prompts of ``evaluate``, which chose nothing.
    An interrupted search goes on where it stopped, and ends with the same bytes.

    Args:
        study: the study file, with a section ``search``.
        out: the run folder, by default ``runs/<study's name>``; trained checkpoints that are there
            are used.
        seed: overrides the study's seed.
        strategy: overrides the study's strategy.
        workers: most cores for the steps that make the models to merge.
        write: also write the members' weights, by the ordinary merge.
        listener: called with every event of these steps.
        progress: called after every candidate.

    Raises:
        SpecError: the study is invalid, has no search, or its budget ends before it begins.
        SampleError: the candidates cannot be told apart.
        HeldError: another search is at work in this folder.
        StepFailedError: a model to merge could not be made.
    """
    prepared = prepare_search(study, out, seed=seed, strategy=strategy)
    return prepared.run(workers=workers, write=write, listener=listener, progress=progress)


def _ends(spec: SearchSpec, evaluate: EvaluateSpec, price: Price) -> bool:
    """Whether the budget ends a search with these judges."""
    budget = spec.budget
    if budget.candidates or budget.answers or budget.hours:
        return True
    judges = [each for axis in evaluate.judged.values() for each in members(axis.judge)]
    priced = any(getattr(judge, "price", None) is not None for judge in judges)
    return bool(budget.judge_calls and price.judge_calls) or bool(budget.dollars and priced)


def selection_of(study: Study) -> EvaluateSpec:
    """Return how the candidates of a study are evaluated.

    Raises:
        SpecError: the study has no prompts to choose on.
    """
    if study.selection is None:  # a study with a search is checked when it is read
        raise SpecError("a search needs `selection`: the prompts to choose on.")
    return study.selection.evaluation(study.evaluate)


def _asked_of(study: Study) -> list[Any]:
    """Return what decides the verdicts on answers to given prompts."""
    evaluate = study.evaluate
    axes = {
        axis: [spec.judge.identity(), spec.measure.model_dump(mode="json"), spec.better]
        for axis, spec in evaluate.judged.items()
    }
    return [axes, decoding_of(study, evaluate.decoding).model_dump(), list(evaluate.deciding)]


def _told(prompts: Mapping[Axis, Sequence[Prompt]]) -> list[Any]:
    return [[axis, [row.model_dump() for row in rows]] for axis, rows in prompts.items()]


def _limits(study: Study, spec: SearchSpec) -> list[Limit]:
    """Return all limits: those of the search, and those of `selection`."""
    limits = study.selection.limits if study.selection is not None else {}
    axes = study.evaluate.judged
    chosen = [Limit(axis, v, axes[axis].better == "lower") for axis, v in limits.items()]
    return [*spec.limits(), *chosen]


def _asker(experts: Experts, network: Network, root: Path) -> Asker:
    axes = experts.study.evaluate.judged
    return Asker(
        network=network,
        evaluate=experts.study.evaluate,
        base={axis: {a.prompt: a for a in experts.base_answers(axis)} for axis in axes},
        root=root,
    )
