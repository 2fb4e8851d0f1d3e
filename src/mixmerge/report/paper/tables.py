"""The tables of the page, in the paper's order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mixmerge.records.verdict import Axis
from mixmerge.report import formats
from mixmerge.report.cells import ABSENT, Cell, Column, Table, word
from mixmerge.report.paper.ablations import CONTRASTS, Contrast
from mixmerge.report.paper.claims import (
    Claim,
    agreement,
    has_spread,
    merges,
    over_mix,
    sign,
)
from mixmerge.report.paper.mechanisms import mechanism_table, relation_table
from mixmerge.report.paper.published import FIGURE_5, TABLE_1, TABLE_2, Pair
from mixmerge.report.paper.scores import Findings, Scores
from mixmerge.stats.estimate import Estimate

STAGES = ("sft", "dpo")

INTERVALS = (
    "Intervals are 95 %, for new training seeds and new questions. Differences are in percentage "
    "points on the same questions; bold where the interval excludes zero. Where all answers agree "
    "there is no spread to make an interval from, so none is shown."
)


def claim_table(claims: Sequence[Claim]) -> Table:
    """The five claims with their decisions."""
    columns = (
        Column("claim", "Claim", numeric=False),
        Column("decision", "Here", numeric=False),
        Column("why", "Why", numeric=False),
        Column("evidence", "Differences, in points", numeric=False),
        Column("paper", "In the paper", numeric=False),
    )
    rows = tuple(
        (
            word(claim.name),
            word(claim.decision, emphasis=True),
            word(claim.words),
            word("; ".join(f"{e.what} {_points(e.estimate)}" for e in claim.evidence)),
            word(claim.paper),
        )
        for claim in claims
    )
    caption = (
        "A claim “A is better than B” agrees when A is better on at least one axis and worse on "
        "neither, disagrees when A is worse on at least one axis (a trade is not a win), and is "
        "not decidable when neither 95 % interval excludes zero. For the balance claim, win rate − "
        "harm rate of SLERP must be above each other method. Intervals are for new training seeds "
        "and new questions."
    )
    return Table("claims", "The paper’s five claims", caption, columns, rows)


def model_table(
    scores: Scores,
    name: str,
    title: str,
    models: Sequence[tuple[str, str]],
    published: Mapping[str, Pair],
) -> Table:
    """Models on all axes against a mix, beside the paper's numbers.

    Args:
        scores: of all models.
        name: of the table.
        title: of the table.
        models: each with the mix that it is compared with ("" for none).
        published: the paper's numbers by model.
    """
    columns = (
        Column("model", "Model", numeric=False),
        Column("win_rate", "Win rate", with_ci=True),
        Column("harm_change", "Harm against base", with_ci=True),
        Column("over_refusal", "Over-refusal", with_ci=True),
        Column("win_gain", "Win gain over mix", with_ci=True),
        Column("harm_gain", "Harm gain over mix", with_ci=True),
        Column("paper_win", "Paper: win"),
        Column("paper_harm", "Paper: harm"),
        Column("win_agrees", "Win gain as in the paper?", numeric=False),
        Column("harm_agrees", "Harm gain as in the paper?", numeric=False),
    )
    rows = tuple(
        _model_row(scores, model, mix, published)
        for model, mix in models
        if scores.has([model, *([mix] if mix else [])])
    )
    caption = (
        "Win rate: answers better than the base model’s, a tie counting one half. Harm against "
        "base: relative change of the harm rate. Gains over the mix are absolute, + is better; in "
        f"the last columns their sign is compared with the paper’s. {INTERVALS}"
    )
    return Table(name, title, caption, columns, rows)


def _model_row(
    scores: Scores, model: str, mix: str, published: Mapping[str, Pair]
) -> tuple[Cell, ...]:
    own, against = published.get(model), published.get(mix)
    win = harm = None
    if mix and mix != model:
        win = scores.estimate("general", {model: 1.0, mix: -1.0})
        harm = scores.estimate("safety", {model: -1.0, mix: 1.0})
    agreed: list[Cell] = [ABSENT, ABSENT]
    if own and against and win and harm:
        agreed = [
            word(agreement(own.win - against.win, win)),
            word(agreement(against.harm - own.harm, harm)),
        ]
    change = scores.relative_change(model)
    asks_harmless = "over_refusal" in scores.axes
    return (
        word(model),
        rate(scores.rate("general", model)),
        ABSENT
        if change is None or model == scores.base
        else _with_interval(formats.change(change.value), change, _ends(change)),
        rate(scores.rate("over_refusal", model)) if asks_harmless else ABSENT,
        difference(win),
        difference(harm),
        Cell(f"{own.win:.1f}", own.win) if own else ABSENT,
        Cell(formats.signed(own.harm), own.harm) if own else ABSENT,
        *agreed,
    )


def rate(estimate: Estimate) -> Cell:
    """Return a rate in percent with its interval.

    Where every answer was the same there is no spread to make an interval from, and none is shown.
    """
    ends = formats.percent_interval(estimate.interval)
    return _with_interval(formats.percent(estimate.value), estimate, ends)


def points(estimate: Estimate) -> Cell:
    """Return a number in points with its interval."""
    return _with_interval(formats.points(estimate.value), estimate, _ends(estimate))


def _with_interval(text: str, estimate: Estimate, ends: str) -> Cell:
    if not has_spread(estimate):
        return Cell(text, estimate.value)
    return Cell(text, estimate.value, estimate.interval, ends)


def difference(estimate: Estimate | None) -> Cell:
    """Return a difference in points; bold where its interval excludes zero."""
    if estimate is None:
        return ABSENT
    return replace(points(estimate), emphasis=sign(estimate) != 0)


def _ends(estimate: Estimate) -> str:
    return formats.points_interval(estimate.interval)


def _points(estimate: Estimate) -> str:
    ends = f" ({_ends(estimate)})" if has_spread(estimate) else ""
    return f"{formats.points(estimate.value)}{ends}"


def objective_tables(scores: Scores) -> list[Table]:
    """Table 1: trained models and merges of both stages against the mix of their stage."""
    models = [
        (model, f"{stage}-15")
        for stage in STAGES
        for model in [*(f"{stage}-{share}" for share in (0, 15, 100)), *merges(stage)]
    ]
    title = "Table 1, Figures 2 and 3: objective-based merging"
    return [model_table(scores, "objective", title, [("base", ""), *models], TABLE_1)]


def average_table(scores: Scores) -> Table:
    """The mean gain of the four merges of each stage over the mix of that stage."""
    columns = (
        Column("stage", "Stage", numeric=False),
        Column("win_gain", "Win gain over mix", with_ci=True),
        Column("harm_gain", "Harm gain over mix", with_ci=True),
        Column("paper_win", "Paper: win gain"),
        Column("paper_harm", "Paper: harm gain"),
        Column("win_agrees", "Win gain as in the paper?", numeric=False),
        Column("harm_agrees", "Harm gain as in the paper?", numeric=False),
    )
    rows = []
    for stage in STAGES:
        formula = over_mix(stage)
        if not scores.has(formula):
            continue
        win = scores.estimate("general", formula)
        harm = scores.estimate("safety", {model: -share for model, share in formula.items()})
        paper_win = sum(share * TABLE_1[model].win for model, share in formula.items())
        paper_harm = -sum(share * TABLE_1[model].harm for model, share in formula.items())
        rows.append(
            (
                word(stage.upper()),
                difference(win),
                difference(harm),
                Cell(formats.signed(paper_win), paper_win),
                Cell(formats.signed(paper_harm), paper_harm),
                word(agreement(paper_win, win)),
                word(agreement(paper_harm, harm)),
            )
        )
    caption = (
        "Mean of Linear, SLERP, TIES and DARE-TIES minus the 15 % mix of the stage, + is better. "
        f"The paper’s harm is relative to its base model, ours absolute. {INTERVALS}"
    )
    title = "The four merges together, by stage"
    return Table("averages", title, caption, columns, tuple(rows))


ORDERS = {
    "sft-slerp": "SFT → merge",
    "dpo-slerp": "SFT → DPO → merge",
    "merge-dpo": "SFT → merge → DPO",
    "dpo-merge-dpo": "SFT → DPO → merge → DPO",
    "merge-dpo-merge": "SFT → merge → DPO apart → merge",
    "mix-dpo-merge": "SFT on the mix → DPO apart → merge",
    "dpo-15-merge": "SFT apart → DPO on the mix → merge",
}


def order_table(scores: Scores) -> Table:
    """Table 2: when to merge."""
    models = [(model, "dpo-15") for model in ORDERS]
    found = model_table(scores, "order", "Table 2: the order of training and merging", models, {
        **TABLE_2, "dpo-15": TABLE_1["dpo-15"],
    })  # fmt: skip
    named = tuple((word(f"{row[0].text}: {ORDERS[row[0].text]}"), *row[1:]) for row in found.rows)
    return Table(found.name, found.title, found.caption, found.columns, named)


def language_table(scores: Scores) -> Table:
    """Figure 5: merges of monolingual models against the multilingual mix."""
    groups = ("three-", "six-", "pair-", "sft-")
    known = scores.axes["general"].scores
    alone = {"sft-en", "sft-hi", "sft-fr", "sft-es", "sft-ar", "sft-ru"}
    names = [
        name
        for group in groups
        for name in known
        if name.startswith(group) and (group != "sft-" or name in alone)
    ]
    order = sorted(names, key=lambda name: not name.endswith("-ties"))
    models = [("sft-15", ""), *((name, "sft-15") for name in order)]
    title = "Figure 5: merging monolingual models (SFT)"
    return model_table(scores, "languages", title, models, FIGURE_5)


def by_language_tables(scores: Scores, languages: Sequence[str]) -> list[Table]:
    """Tables 3 to 6: each stage and axis by language, as gains over the mix of the stage."""
    kinds: tuple[tuple[str, Axis, int], ...] = (("win", "general", 1), ("harm", "safety", -1))
    tables = []
    for stage in STAGES:
        mix = f"{stage}-15"
        names = [f"{stage}-0", f"{stage}-100", *merges(stage)]
        names = [name for name in names if scores.has([name, mix])]
        for what, axis, better in kinds:
            rows = tuple(
                (
                    word(name),
                    *(
                        difference(
                            scores.estimate(axis, {name: float(better), mix: -float(better)}, each)
                        )
                        for each in languages
                    ),
                )
                for name in names
            )
            columns = (
                Column("model", "Model", numeric=False),
                *(Column(each, each, with_ci=True) for each in languages),
            )
            title = (
                f"Tables 3 to 6: {stage.upper()}, {what.lower()} gain over the 15 % mix by language"
            )
            caption = f"+ is better. {INTERVALS} Not adjusted for the number of cells."
            tables.append(Table(f"{stage}-{axis}-by-language", title, caption, columns, rows))
    return [table for table in tables if table.rows]


def contrast_table(scores: Scores, contrasts: Sequence[Contrast]) -> Table:
    """Ablations and first experiments: one question a row."""
    columns = (
        Column("question", "Question", numeric=False),
        Column("difference", "Difference", numeric=False),
        Column("win", "Win rate", with_ci=True),
        Column("harm", "Harm rate", with_ci=True),
        Column("over_refusal", "Over-refusal", with_ci=True),
        Column("balance", "Balance", with_ci=True),
    )
    rows = tuple(
        (
            word(each.question),
            word(f"{each.first} − {each.second}"),
            difference(scores.estimate("general", each.formula)),
            difference(scores.estimate("safety", each.formula)),
            difference(
                scores.estimate("over_refusal", each.formula)
                if "over_refusal" in scores.axes
                else None
            ),
            difference(scores.balance(each.formula)),
        )
        for each in contrasts
        if scores.has(each.formula)
    )
    caption = (
        "Differences of rates, first minus second: a higher win rate, and lower harm and "
        f"over-refusal, are better; balance is win rate − harm rate. {INTERVALS}"
    )
    return Table("ablations", "Ablations and first experiments", caption, columns, rows)


def weight_table(findings: Findings) -> Table:
    """The whole grid of weights on the items that they were chosen on."""
    columns = (
        Column("merge", "Merge", numeric=False),
        Column("weight", "Safety weight", numeric=False),
        Column("win_rate", "Win rate", with_ci=True),
        Column("harm_rate", "Harm rate", with_ci=True),
        Column("balance", "Balance", with_ci=True),
        Column("chosen", "Chosen in seeds"),
    )
    rows = []
    scores = findings.selection
    for name, sweep in findings.sweeps.items():
        for candidate, weight in sweep.weights.items():
            if scores is None or not scores.has([candidate]):
                continue
            times = sweep.chosen.count(candidate)
            rows.append(
                (
                    word(name),
                    word(" → ".join(f"{each:g}" for each in weight)),
                    rate(scores.rate("general", candidate)),
                    rate(scores.rate("safety", candidate)),
                    points(scores.balance({candidate: 1.0})),
                    Cell(str(times), times, emphasis=times > 0),
                )
            )
    caption = (
        "On development items, which nothing is reported on: these rates choose the weights, and "
        "are too good for whatever they chose. A weight with an arrow runs from the first layer to "
        "the last."
    )
    return Table("weights", "Figure 6 and the search: every weight", caption, columns, tuple(rows))


def all_tables(findings: Findings, claims: Sequence[Claim]) -> list[Table]:
    """Return every table that has a row, in the order of the page."""
    scores = findings.test
    tables = [
        claim_table(claims),
        *objective_tables(scores),
        average_table(scores),
        *by_language_tables(scores, findings.languages),
        language_table(scores),
        weight_table(findings),
        order_table(scores),
        contrast_table(scores, CONTRASTS),
        mechanism_table(findings.mechanisms),
        relation_table(findings),
    ]
    return [table for table in tables if table.rows]
