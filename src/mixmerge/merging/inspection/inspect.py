"""Inspect models before merging: what they contain, how they differ, whether they can be merged."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from mixmerge.errors import SpecError
from mixmerge.merging.inspection.figure import check_figure, draw
from mixmerge.merging.inspection.measurements import measure
from mixmerge.merging.inspection.result import (
    Inspection,
    ModelSummary,
    TokenDifference,
    VocabularyDifference,
)
from mixmerge.merging.models.checkpoint import Checkpoint, with_common_names
from mixmerge.merging.models.layout import denies_tied_head, embedding, head, main_stacks
from mixmerge.merging.models.references import open_model
from mixmerge.merging.planning.compatibility import problems
from mixmerge.progress import Progress, silent

_EXAMPLES = 10
"""Most differing tokens in the result."""


def inspect(
    models: Sequence[str | Path],
    *,
    base: str | Path | None = None,
    headers_only: bool = False,
    figure: Path | None = None,
    allow_pickle: bool = False,
    threads: int | None = None,
    progress: Progress = silent,
) -> Inspection:
    """Report what models contain, how they differ, and why they cannot be merged, if so.

    Two or more models are compared by their weights; each is read once, a tile at a time. With a
    base, their task vectors (Ilharco et al. 2023, arXiv:2212.04089) are compared too: how large
    they are, whether they point the same way, and where they oppose each other (the sign conflicts
    of Yadav et al. 2023, arXiv:2306.01708).

    Args:
        models: one or more folders, hub names, or ``MODEL+ADAPTER``, as in a recipe.
        base: the model they were trained from, if any.
        headers_only: read headers, configurations and tokenizers, but no weights.
        figure: draw the comparison by layer into this file (.png, .svg or .pdf); not written if the
            models have no tensor in common.
        allow_pickle: also read ``.bin`` and ``.pt`` weights (data only, no code).
        threads: number of threads; None: one per processor. The result does not depend on it.
        progress: called with the bytes read.

    Returns:
        The results; ``model_dump_json()`` gives them as JSON.

    Raises:
        ModelError: a model cannot be found, a header is wrong, or a file changed meanwhile.
        SpecError: there is nothing that ``figure`` could show, or its type is unknown.
    """
    if not models:
        raise SpecError("inspect: needs at least one model.")
    if threads is not None and threads < 1:
        raise SpecError(f"threads ({threads}) must be at least 1.")
    references = [str(each) for each in ([] if base is None else [base]) + [*models]]
    if figure is not None:
        check_figure(figure, len(references), headers_only=headers_only)
    with ExitStack() as opened:
        stored = [
            opened.enter_context(closing(open_model(name, text, allow_pickle=allow_pickle)))
            for name, text in zip(short_names(references), references, strict=True)
        ]
        checkpoints = with_common_names(stored)
        comparison = None
        broken: list[str] = []
        if len(checkpoints) > 1 and not headers_only:
            comparison, broken = measure(
                checkpoints, has_base=base is not None, threads=threads, progress=progress
            )
        first, *others = checkpoints
        inspection = Inspection(
            models=tuple(map(_summary, checkpoints, references)),
            base=None if base is None else first.name,
            vocabularies=tuple(
                _difference(first, other)
                for other in others
                if other.tokenizer_digest != first.tokenizer_digest
                and first.vocabulary
                and other.vocabulary
            ),
            comparison=comparison,
            problems=(*problems(checkpoints), *broken),
            notes=(
                *(note for model in checkpoints for note in _own_notes(model)),
                *(note for other in others for note in _config_notes(first, other)),
                *(note for other in others for note in _dtype_notes(first, other)),
            ),
        )
    if figure is not None and inspection.comparison is not None:
        draw(inspection, figure)
    return inspection


def short_names(references: Sequence[str]) -> list[str]:
    """Name each model by the last parts of its reference, as many as tell all models apart.

    A last part ``model`` is skipped: that is where every training step has its model.
    """
    parts = [_parts(Path(text)) for text in references]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{text} ({number})" for number, text in enumerate(references, 1)]


def _parts(path: Path) -> tuple[str, ...]:
    parts = path.resolve().parts if path.exists() else path.parts
    return parts[:-1] if len(parts) > 1 and parts[-1] == "model" else parts


def _summary(model: Checkpoint, reference: str) -> ModelSummary:
    stored = model.tensors.values()
    named = model.config.get("architectures")
    own_head = head(model.tensors) is not None
    return ModelSummary(
        name=model.name,
        reference=reference,
        architecture=str(named[0]) if isinstance(named, list) and named else "",
        tensors=len(stored),
        parameters=sum(tensor.size for tensor in stored),
        nbytes=sum(tensor.nbytes for tensor in stored),
        dtypes=dict(Counter(tensor.dtype for tensor in stored).most_common()),
        layers=next((stack.layers for stack in main_stacks(model.tensors, model.config)), 0),
        tied=_ties_head(model) if own_head else not denies_tied_head(model.config),
        stores_head=own_head,
        vocabulary=len(model.vocabulary),
        rows=_embedding_rows(model),
    )


def _ties_head(model: Checkpoint) -> bool:
    return bool(model.config.get("tie_word_embeddings", False))


def _own_notes(model: Checkpoint) -> Iterator[str]:
    """Yield notes on tokens without a row, and on a head that is both tied and stored."""
    rows = _embedding_rows(model)
    homeless = [token for token, number in model.vocabulary.items() if number >= rows]
    if rows and homeless:
        example = f"{homeless[0]!r} ({model.vocabulary[homeless[0]]:,})"
        beyond = f"{len(homeless):,} tokens have an id beyond the {rows:,} rows of the embedding"
        yield f"{model.name}: {beyond}, for example {example}"
    if _ties_head(model) and head(model.tensors) is not None:
        yield (
            f"{model.name}: config.json ties the head to the embedding, and the files hold a head "
            "too; transformers ties them only if they are equal"
        )


def _config_notes(first: Checkpoint, other: Checkpoint) -> list[str]:
    """Return a note on every setting that differs, in the order of keys."""
    keys = dict.fromkeys([*first.config, *other.config])
    passing = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "model_type"}
    return [
        f"config.json: {key} is {first.config.get(key)!r} in {first.name} "
        f"and {other.config.get(key)!r} in {other.name}"
        for key in keys
        if key not in passing and first.config.get(key) != other.config.get(key)
    ]


def _dtype_notes(first: Checkpoint, other: Checkpoint) -> list[str]:
    """Return how many tensors have another type: rounding then counts as a change."""
    unequal = [
        (tensor.dtype, other.tensors[name].dtype)
        for name, tensor in first.tensors.items()
        if name in other.tensors and other.tensors[name].dtype != tensor.dtype
    ]
    return [
        f"{count} tensors are {mine} in {first.name} and {theirs} in {other.name}; "
        "their difference is partly rounding"
        for (mine, theirs), count in Counter(unequal).items()
    ]


def _difference(first: Checkpoint, second: Checkpoint) -> VocabularyDifference:

    def lowest_id(each: TokenDifference) -> tuple[int, str]:
        return min(i for i in (each.first_id, each.second_id) if i is not None), each.token

    mine, theirs = first.vocabulary, second.vocabulary
    both = mine.keys() & theirs.keys()
    same = sum(mine[token] == theirs[token] for token in both)
    unequal = [
        TokenDifference(token=token, first_id=mine.get(token), second_id=theirs.get(token))
        for token in {**mine, **theirs}
        if mine.get(token) != theirs.get(token)
    ]
    return VocabularyDifference(
        first=first.name,
        second=second.name,
        same=same,
        moved=len(both) - same,
        only_first=len(mine) - len(both),
        only_second=len(theirs) - len(both),
        examples=tuple(sorted(unequal, key=lowest_id)[:_EXAMPLES]),
    )


def _embedding_rows(model: Checkpoint) -> int:
    """Return the rows of the token embedding, or 0."""
    name = embedding(model.tensors, model.config)
    return model.tensors[name].shape[0] if name else 0
