"""Write the ``rows.jsonl`` and ``manifest.json`` of a `MixSpec`."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mixmerge.errors import DataError
from mixmerge.files import explained_disk_errors, read_rows, write_json, write_rows
from mixmerge.fingerprint import file_fingerprint
from mixmerge.mixing.apportion import Cell, apportion
from mixmerge.mixing.filters import Deduplicated, HeldOut, Overlap, deduplicate
from mixmerge.mixing.manifest import Manifest, Share
from mixmerge.mixing.mixture import arrange, characters, draw, token_counter
from mixmerge.mixing.sources import Loaded, load
from mixmerge.mixing.spec import MixSpec, TrainingRow
from mixmerge.progress import Progress, silent
from mixmerge.records import Prompt

ROWS = "rows.jsonl"
MANIFEST = "manifest.json"

_WAYS = {"equal": "equals", "contains": "contains", "run": "shares a run of words with"}


def mix(spec: MixSpec, out: Path, *, progress: Progress = silent) -> Manifest:
    """Write a mixture: its rows in order and, last, the manifest.

    The folder ``out`` receives ``rows.jsonl`` (`Conversation` or `PreferencePair` rows) and
    ``manifest.json`` (the `Manifest` returned); other files in it are left alone.

    Raises:
        DataError: a source is missing, broken or too small, or overlaps held-out prompts and the
            specification refuses that.
        ModelError: the tokenizer cannot be read.
        ResourceError: the disk is full or ``out`` is not writable.
    """
    count_tokens = cache(token_counter(spec.tokenizer)) if spec.tokenizer else None
    supply = _supply(spec, progress)
    asked = _asked(spec)
    size_of = count_tokens if spec.unit == "tokens" and count_tokens else _one
    drawn = {
        cell: draw(pool, asked[cell], size_of=size_of, seed=spec.seed, most_copies=spec.most_copies)
        for cell, pool in supply.pools.items()
    }
    _refuse_shortage(spec, supply, asked, drawn, size_of)
    rows = arrange([row for cell in drawn.values() for row in cell], spec.seed)
    progress(len(spec.sources), len(spec.sources), f"writing {len(rows):,} rows")
    # After an interruption, no old manifest may be left beside new rows.
    with explained_disk_errors(out):
        (out / MANIFEST).unlink(missing_ok=True)
    write_rows(out / ROWS, rows)
    manifest = Manifest(
        form=spec.form,
        unit=spec.unit,
        size=spec.size,
        seed=spec.seed,
        rows=len(rows),
        digest=file_fingerprint(out / ROWS),
        shares=tuple(
            _share(cell, supply, target, drawn[cell], size_of, count_tokens)
            for cell, target in asked.items()
        ),
        other_languages=_other_languages(spec, supply),
        broken={name: tuple(each.broken) for name, each in supply.loaded.items() if each.broken},
        left_out={name: {**each.left_out} for name, each in supply.loaded.items() if each.left_out},
        read_as={name: each.read_as for name, each in supply.loaded.items()},
        columns={
            name: {key: tuple(columns) for key, columns in each.columns.items()}
            for name, each in supply.loaded.items()
        },
        unread={name: each.unread for name, each in supply.loaded.items() if each.unread},
        overlaps=tuple(supply.overlaps),
    )
    write_json(out / MANIFEST, manifest.model_dump(mode="json"))
    return manifest


def _one(_: TrainingRow) -> int:
    return 1


def _asked(spec: MixSpec) -> dict[Cell, int]:
    """Return the target of every source and language, in the order of the specification."""
    shares = {source: spec.shares.get(source, 0.0) for source in spec.sources}
    weights = spec.language_shares or {}
    return apportion(spec.size, shares, {lang: weights.get(lang, 1.0) for lang in spec.languages})


@dataclass
class _Supply:
    """The rows to draw from, and what was removed before."""

    pools: dict[Cell, list[TrainingRow]]
    read: Counter[Cell]
    duplicates: Deduplicated
    overlaps: list[Overlap]
    loaded: dict[str, Loaded]


def _supply(spec: MixSpec, progress: Progress) -> _Supply:
    held_out = HeldOut(
        (prompt for path in spec.held_out for prompt in read_rows(path, Prompt)), spec.overlap_words
    )
    loaded: dict[str, Loaded] = {}
    # In a mixture of one language, rows need not state theirs.
    only = spec.languages[0] if len(spec.languages) == 1 else None
    for number, (name, source) in enumerate(spec.sources.items()):
        progress(number, len(spec.sources), f"reading {name}")
        loaded[name] = load(name, source, spec.form, only)
    rows = [row for each in loaded.values() for row in each.rows]
    duplicates = deduplicate(row for row in rows if row.language in spec.languages)
    pools: dict[Cell, list[TrainingRow]] = {
        (source, language): [] for source in spec.sources for language in spec.languages
    }
    overlaps = []
    for row in duplicates.rows:
        overlap = held_out.overlap(row)
        if overlap is None:
            pools[row.source, row.language].append(row)
        else:
            overlaps.append(overlap)
    if overlaps and spec.overlap == "refuse":
        raise DataError(_overlap_message(overlaps))
    return _Supply(
        pools=pools,
        read=Counter((row.source, row.language) for row in rows),
        duplicates=duplicates,
        overlaps=overlaps,
        loaded=loaded,
    )


def _other_languages(spec: MixSpec, supply: _Supply) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for (source, language), count in sorted(supply.read.items()):
        if language not in spec.languages:
            table.setdefault(source, {})[language] = count
    return table


def _overlap_message(overlaps: list[Overlap]) -> str:
    first = overlaps[0]
    return (
        f"training rows that overlap held-out prompts: {len(overlaps):,}. The first is "
        f"`{first.id}` of source `{first.source}` ({first.language}), which {_WAYS[first.way]} the "
        f"prompt `{first.prompt}`. Remove them, or set `overlap: drop` to leave them out and have "
        "them listed."
    )


def _refuse_shortage(
    spec: MixSpec,
    supply: _Supply,
    asked: Mapping[Cell, int],
    drawn: Mapping[Cell, list[TrainingRow]],
    size_of: Callable[[TrainingRow], int],
) -> None:
    """Reject cells that ran out of rows below their target, all in one message."""
    short = []
    for cell, target in asked.items():
        got = sum(size_of(row) for row in drawn[cell])
        if got >= target:
            continue
        # A row longer than the whole target is never drawn, so it is not missing either.
        fitting = sum(size_of(row) <= target for row in supply.pools[cell])
        if len(drawn[cell]) == fitting * spec.most_copies:
            seen = "" if supply.pools[cell] else f" ({_languages_seen(supply, cell[0])})"
            short.append(
                f"`{cell[0]}` in `{cell[1]}`: {target:,} requested, {got:,} available{seen}"
            )
    if short:
        times = f", each used {spec.most_copies} times" if spec.most_copies > 1 else ""
        raise DataError(
            f"too few {spec.unit} after duplicates and overlaps are removed{times}: "
            f"{'; '.join(short)}. Add data, ask for a smaller `size` or another share, or let rows "
            "occur more often (`when_short: repeat` with `most_copies`)."
        )


def _languages_seen(supply: _Supply, source: str) -> str:
    counts = ((language, n) for (name, language), n in supply.read.items() if name == source)
    listed = ", ".join(f"{n:,} in `{language}`" for language, n in counts)
    return f"rows read: {listed}, to be named in `languages`" if listed else "rows read: none"


def _share(
    cell: Cell,
    supply: _Supply,
    asked: int,
    drawn: list[TrainingRow],
    size_of: Callable[[TrainingRow], int],
    count_tokens: Callable[[TrainingRow], int] | None,
) -> Share:
    source, language = cell
    copies = Counter(row.id for row in drawn)
    return Share(
        source=source,
        language=language,
        read=supply.read[cell],
        exact_duplicates=supply.duplicates.exact[cell],
        normalised_duplicates=supply.duplicates.normalised[cell],
        overlapping=sum((each.source, each.language) == cell for each in supply.overlaps),
        available=len(supply.pools[cell]),
        asked=asked,
        got=sum(size_of(row) for row in drawn),
        rows=len(drawn),
        unique=len(copies),
        most_copies=max(copies.values(), default=0),
        characters=sum(characters(row) for row in drawn),
        tokens=sum(count_tokens(row) for row in drawn) if count_tokens else None,
    )
