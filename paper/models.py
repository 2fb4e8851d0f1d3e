"""Tables of models against a mix, over all languages and by language."""

from collections.abc import Mapping, Sequence

from mixmerge.records import Axis
from mixmerge.reporting import formats
from mixmerge.reporting.cells import ABSENT, Cell, Column, Table, word
from paper.claims import agreement
from paper.published import Pair
from paper.scores import Scores
from paper.values import INTERVALS, difference, rate, relative


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
        name: name of the table.
        title: title of the table.
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
            word(agreement(against.harm - own.harm, harm, scores.base_harm)),
        ]
    change = scores.relative_change(model)
    asks_harmless = "over_refusal" in scores.axes
    return (
        word(model),
        rate(scores.rate("general", model)),
        ABSENT if change is None or model == scores.base else relative(change),
        rate(scores.rate("over_refusal", model)) if asks_harmless else ABSENT,
        difference(win),
        difference(harm),
        Cell(f"{own.win:.1f}", own.win) if own else ABSENT,
        Cell(formats.signed(own.harm), own.harm) if own else ABSENT,
        *agreed,
    )


def by_language_tables(
    scores: Scores, languages: Sequence[str], name: str, what: str, models: Sequence[str], mix: str
) -> list[Table]:
    """Return gains over a mix by language, a table for each axis.

    Args:
        scores: of all models.
        languages: the columns.
        name: what the tables' names start with.
        what: a description of the models, for the titles.
        models: the rows; those without scores are left out.
        mix: what they are compared with.
    """
    axes: tuple[tuple[str, Axis, float], ...] = (("win", "general", 1.0), ("harm", "safety", -1.0))
    columns = (
        Column("model", "Model", numeric=False),
        *(Column(each, each, with_ci=True) for each in languages),
    )
    caption = f"+ is better. {INTERVALS} Not adjusted for the number of cells."
    return [
        Table(
            f"{name}-{axis}-by-language",
            f"Tables 3 to 6: {what}, {gain} gain over the 15 % mix by language",
            caption,
            columns,
            tuple(
                (
                    word(model),
                    *(
                        difference(scores.estimate(axis, {model: better, mix: -better}, each))
                        for each in languages
                    ),
                )
                for model in models
                if scores.has([model, mix])
            ),
        )
        for gain, axis, better in axes
    ]
