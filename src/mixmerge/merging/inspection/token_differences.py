"""How the tokens of two models differ, and whether the embeddings have room for them."""

from collections.abc import Sequence

from mixmerge.merging.inspection.inspection import TokenDifference, VocabularyDifference
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.layout import embedding

_EXAMPLES = 10


def vocabulary_differences(models: Sequence[Checkpoint]) -> list[VocabularyDifference]:
    """Compare the first model's tokens with those of each model whose tokenizer is another."""
    first, *others = models
    return [
        _difference(first, other)
        for other in others
        if other.tokenizer_digest != first.tokenizer_digest
        and first.vocabulary
        and other.vocabulary
    ]


def _difference(first: Checkpoint, second: Checkpoint) -> VocabularyDifference:
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
        examples=tuple(sorted(unequal, key=_lowest_id)[:_EXAMPLES]),
    )


def _lowest_id(difference: TokenDifference) -> tuple[int, str]:
    ids = [number for number in (difference.first_id, difference.second_id) if number is not None]
    return min(ids), difference.token


def embedding_rows(model: Checkpoint) -> int:
    """Return the rows of the token embedding; 0 where no tensor looks like one."""
    name = embedding(model.tensors, model.config)
    return model.tensors[name].shape[0] if name else 0


def vocabulary_notes(model: Checkpoint) -> list[str]:
    """Name tokens that have no row in the embedding."""
    rows = embedding_rows(model)
    homeless = [token for token, number in model.vocabulary.items() if number >= rows]
    if not rows or not homeless:
        return []
    example = f"{homeless[0]!r} ({model.vocabulary[homeless[0]]:,})"
    beyond = f"{len(homeless):,} tokens have an id beyond the {rows:,} rows of the embedding"
    return [f"{model.name}: {beyond}, for example {example}"]
