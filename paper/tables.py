"""The tables of the page, in the paper's order."""

from collections.abc import Sequence

from mixmerge.reporting import formats
from mixmerge.reporting.cells import Cell, Column, Table, word
from paper.ablations import CONTRASTS, contrast_table
from paper.claims import Claim, agreement, merges, over_mix
from paper.mechanisms import mechanism_table, relation_table
from paper.models import by_language_tables, model_table
from paper.published import FIGURE_5, TABLE_1, TABLE_2
from paper.scores import Findings, Scores
from paper.values import INTERVALS, difference, in_words, points, rate

STAGES = ("sft", "dpo")


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
            word("; ".join(f"{e.what} {in_words(e.estimate)}" for e in claim.evidence)),
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
                word(agreement(paper_harm, harm, scores.base_harm)),
            )
        )
    caption = (
        "Mean of Linear, SLERP, TIES and DARE-TIES minus the 15 % mix of the stage, + is better. "
        "The paper’s harm is relative to its base model, ours absolute; "
        f"they are compared relative to both base models. {INTERVALS}"
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


def language_merges(scores: Scores) -> list[str]:
    """Return the merges of monolingual models and these themselves, those by TIES first."""
    groups = ("three-", "six-", "pair-", "sft-")
    known = scores.axes["general"].scores
    alone = {"sft-en", "sft-hi", "sft-fr", "sft-es", "sft-ar", "sft-ru"}
    names = [
        name
        for group in groups
        for name in known
        if name.startswith(group) and (group != "sft-" or name in alone)
    ]
    return sorted(names, key=lambda name: not name.endswith("-ties"))


def language_table(scores: Scores) -> Table:
    """Figure 5: merges of monolingual models against the multilingual mix."""
    models = [("sft-15", ""), *((name, "sft-15") for name in language_merges(scores))]
    title = "Figure 5: merging monolingual models (SFT)"
    return model_table(scores, "languages", title, models, FIGURE_5)


def stage_tables(scores: Scores, languages: Sequence[str]) -> list[Table]:
    """Tables 3 to 6: experts and merges of each stage by language."""
    return [
        table
        for stage in STAGES
        for table in by_language_tables(
            scores,
            languages,
            stage,
            stage.upper(),
            [f"{stage}-0", f"{stage}-100", *merges(stage)],
            f"{stage}-15",
        )
    ]


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
    scores, languages = findings.test, findings.languages
    tables = [
        claim_table(claims),
        *objective_tables(scores),
        average_table(scores),
        *stage_tables(scores, languages),
        language_table(scores),
        *by_language_tables(
            scores, languages, "languages", "merged languages", language_merges(scores), "sft-15"
        ),
        weight_table(findings),
        order_table(scores),
        *by_language_tables(scores, languages, "order", "orders", list(ORDERS), "dpo-15"),
        contrast_table(scores, CONTRASTS),
        mechanism_table(findings.mechanisms),
        relation_table(findings),
    ]
    return [table for table in tables if table.rows]
