"""One vocabulary for a merge: the output's tokenizer, and every model's rows in its order.

The rules are those of mergekit's ``tokenizer`` section. The base's ids stay; tokens of other models
follow in the order of the models and of their ids, plain tokens before added ones; then the tokens
that only the recipe names. The order comes from lists, never sets, so it is the same everywhere.
"""

import hashlib
import json
import math
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mixmerge.errors import ModelError, SpecError
from mixmerge.files import read_json, write_json
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.layout import embedding
from mixmerge.merging.models.sources import Source
from mixmerge.merging.recipes.sections import ModelTokenRow, TokenizerRecipe, TokenRule, ZeroRow
from mixmerge.merging.vocabularies.token_tables import refuse_other_tables, token_tables
from mixmerge.merging.vocabularies.tokenizer_files import (
    AddedToken,
    StoredTokenizer,
    extended,
    read_tokenizer,
    without_rows_beyond,
    write_tokenizer,
)
from mixmerge.merging.vocabularies.vocabulary_rows import ZERO, Donor, RowMap, RowsSource, row_maps

_GENERATION = "generation_config.json"
_MOST_EMPTY_ROWS = 1 << 20
"""Most rows without a token; more is a mistake, and would fill memory."""
_ID_KEYS = ("_token_id", "_token_ids", "_token_index", "suppress_tokens")
"""Endings of settings with token ids."""


class Vocabulary:
    """The output's tokens, and where their rows come from."""

    def __init__(
        self,
        recipe: TokenizerRecipe,
        tokenizer: StoredTokenizer,
        known: Mapping[str, dict[str, int]],
        tables: Container[str],
    ) -> None:
        """Store what `align` found: ids by token of each model, tensors with rows of tokens."""
        self._recipe = recipe
        self._tokenizer = tokenizer
        self._known = known
        self._tables = tables
        self._maps: dict[Any, list[RowMap]] = {}

    @property
    def folder(self) -> Path:
        """The folder that the output's tokenizer comes from."""
        return self._tokenizer.folder

    @property
    def tokens(self) -> dict[str, int]:
        """Ids by token."""
        return self._tokenizer.vocabulary

    @property
    def rows(self) -> int:
        """Rows of the output's embedding and head: one per id, and padding."""
        count = 1 + max(self.tokens.values())
        multiple = self._recipe.pad_to_multiple_of or 1
        return math.ceil(count / multiple) * multiple

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the output's and every model's tokens, which with the recipe decide all rows."""
        content = json.dumps([self.tokens, self._known])  # in the order of ids
        return hashlib.sha256(content.encode()).hexdigest()

    def covers(self, tensor: str) -> bool:
        """Whether a tensor has one row per token."""
        return tensor in self._tables

    def aligned(
        self, names: Sequence[str], sources: Sequence[Source], base: str | None
    ) -> tuple[Source, ...]:
        """Return one tensor of several models with rows in the order of the output's tokens.

        A model that lacks a token gets another model's row, preferably the base's.

        Raises:
            ModelError: a tensor is a scalar.
            SpecError: a rule of the recipe asks for a row that does not exist.
        """
        for source in sources:
            if not source.shape:
                raise ModelError(f"tensor {source.name}: has no rows that tokens could have.")
        # BART's bias of the logits has the shape (1, tokens).
        axis = int(
            all(
                len(source.shape) == 2 and source.shape[0] == 1 < len(self._known[name])
                for name, source in zip(names, sources, strict=True)
            )
        )
        counts = tuple(source.shape[axis] for source in sources)
        key = tuple(names), counts, base
        if key not in self._maps:
            self._maps[key] = row_maps(
                self.tokens,
                self.rows,
                [(self._known[name], count) for name, count in zip(names, counts, strict=True)],
                names.index(base) if base in names else None,
                self._given(names, counts),
            )
        return tuple(
            source
            if rows.keeps(number, counts[number])
            else RowsSource(sources, number, rows, axis)
            for number, (source, rows) in enumerate(zip(sources, self._maps[key], strict=True))
        )

    def _given(self, names: Sequence[str], counts: Sequence[int]) -> dict[int, Donor]:
        """Return the rows that the recipe sets, by id."""
        given = {}
        for token, rule in self._recipe.tokens.items():
            known = [
                self._known[name].get(token, count)
                for name, count in zip(names, counts, strict=True)
            ]
            lacking = any(number >= count for number, count in zip(known, counts, strict=True))
            if rule.source is not None and (rule.force or lacking):
                given[self.tokens[token]] = self._donor(token, rule, names, counts)
        return given

    def _donor(
        self, token: str, rule: TokenRule, names: Sequence[str], counts: Sequence[int]
    ) -> Donor:
        where = f"tokenizer: token {token!r}"
        if isinstance(rule.source, ZeroRow) or rule.source is None:
            return Donor(ZERO, 0, rule.force)
        model = rule.source.model if isinstance(rule.source, ModelTokenRow) else rule.source
        if model not in names:
            raise SpecError(
                f"{where}: its row is that of `{model}`, which is not merged here; "
                f"name one of {', '.join(names)}."
            )
        wanted, row = token, None
        if isinstance(rule.source, ModelTokenRow):
            wanted, row = rule.source.token or "", rule.source.token_id
        row = self._known[model].get(wanted) if row is None else row
        count = counts[names.index(model)]
        if row is None or row >= count:
            seen = f"{model} does not have {wanted!r}" if row is None else f"id {row} is asked for"
            raise SpecError(f"{where}: {seen}; {model} has {count} rows.")
        return Donor(names.index(model), row, rule.force)

    def with_new_ids(self, settings: Mapping[str, Any], donor: str) -> dict[str, Any]:
        """Return settings with the donor's token ids replaced by the output's.

        The id of a token that the output lacks becomes None, or is dropped from a list.
        """
        texts = {number: token for token, number in self._known[donor].items()}

        def new(number: Any) -> int | None:
            return self.tokens.get(texts.get(number, "")) if isinstance(number, int) else None

        def renewed(key: str, value: Any) -> Any:
            if isinstance(value, Mapping):
                return {name: renewed(name, item) for name, item in value.items()}
            if not key.endswith(_ID_KEYS):
                return value
            if isinstance(value, list):
                found = map(new, value)
                return [number for number in found if number is not None]
            return new(value)

        return {key: renewed(key, value) for key, value in settings.items()}

    def write(self, folder: Path, donor: str) -> None:
        """Write the tokenizer, and update the donor's generation settings."""
        write_tokenizer(self._tokenizer, folder)
        file = folder / _GENERATION
        if file.is_file():
            write_json(file, self.with_new_ids(read_json(file), donor))


def align(
    recipe: TokenizerRecipe,
    models: Sequence[Checkpoint],
    base: str | None,
    *,
    source: Path | None = None,
) -> Vocabulary:
    """Choose the output's vocabulary; reads tokenizers, but no weights.

    Without a base the first model takes its place. ``source`` is the folder of a tokenizer that is
    not an input's.

    Raises:
        ModelError: a model has no tokenizer, or one that cannot be extended.
        SpecError: the recipe's source is unknown, or there would be far more rows than tokens.
    """
    rows = {model.name: model.tensors[_embedding(model)].shape[0] for model in models}
    tokenizers = {model.name: read_tokenizer(model.tokenizer_folder) for model in models}
    first = base or models[0].name
    names = {"union": first, "base": first}
    if recipe.source in (*names, *tokenizers):
        name = names.get(recipe.source, recipe.source)
        chosen = without_rows_beyond(tokenizers[name], rows[name])
    elif source is not None:
        chosen = read_tokenizer(source)
    else:
        raise SpecError(
            f"tokenizer: `{recipe.source}` is neither union, base nor an input; "
            f"the inputs are {', '.join(tokenizers)}."
        )
    if recipe.source == "union":
        chosen = _union(chosen, [(tokenizers[name], rows[name]) for name in (first, *tokenizers)])
    chosen = _with_rules(chosen, list(tokenizers.values()), recipe.tokens)
    known = {name: tokenizer.vocabulary for name, tokenizer in tokenizers.items()}
    found = Vocabulary(recipe, chosen, known, set().union(*map(token_tables, models)))
    if found.rows > 2 * len(found.tokens) + _MOST_EMPTY_ROWS:
        raise SpecError(
            f"tokenizer: {found.rows:,} rows for {len(found.tokens):,} tokens; check the ids of "
            f"{chosen.folder} and `pad_to_multiple_of`."
        )
    for model in models:
        if known[model.name] != found.tokens:
            refuse_other_tables(model, len(known[model.name]))
    return found


def _embedding(model: Checkpoint) -> str:
    name = embedding(model.tensors, model.config)
    if name is None:
        raise ModelError(f"{model.name}: no embedding was found, so its tokens cannot be aligned.")
    return name


def _union(
    start: StoredTokenizer, others: Iterable[tuple[StoredTokenizer, int]]
) -> StoredTokenizer:
    """Append other tokenizers' tokens that have rows; tokens added in any are added in all."""
    plain: dict[str, None] = {}
    added: dict[str, AddedToken] = {}
    for tokenizer, rows in others:
        for token, number in tokenizer.vocabulary.items():
            if number < rows and token in tokenizer.added:
                added.setdefault(token, tokenizer.added[token])
            elif number < rows:
                plain.setdefault(token)
    return extended(
        start,
        [token for token in plain if token not in start.vocabulary and token not in added],
        [entry for token, entry in added.items() if token not in start.vocabulary],
    )


def _with_rules(
    chosen: StoredTokenizer, tokenizers: Iterable[StoredTokenizer], rules: Iterable[str]
) -> StoredTokenizer:
    """Add the tokens that only the recipe names."""
    known: dict[str, AddedToken] = {}
    for tokenizer in tokenizers:
        known = {**tokenizer.added, **known}
    ordinary = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True}
    return extended(
        chosen,
        [],
        [
            known.get(token, {"content": token, **ordinary, "special": False})
            for token in rules
            if token not in chosen.vocabulary
        ],
    )
