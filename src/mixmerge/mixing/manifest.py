"""``manifest.json`` of a mixture: its target, its rows, and what was left out and why."""

from pydantic import Field

from mixmerge.mixing.filters import Overlap
from mixmerge.mixing.spec import Form, Unit
from mixmerge.records import RowModel


class Share(RowModel):
    """One source in one language.

    ``read`` = duplicates + ``overlapping`` + ``available``.
    """

    source: str
    language: str
    read: int
    """Usable rows in the source."""
    exact_duplicates: int
    """Removed: the prompt occurs earlier in this or another source, character by character."""
    normalised_duplicates: int
    """Removed: the prompt occurs earlier, except for case, punctuation, spaces or Unicode form."""
    overlapping: int
    """Removed: the row overlaps a held-out prompt."""
    available: int
    """Rows left to draw from."""
    asked: int
    """In the unit of the mixture."""
    got: int
    """In the unit of the mixture: equal to ``asked`` for rows; whole rows nearest to it for
    tokens."""
    rows: int
    """Rows in the mixture, including copies."""
    unique: int
    """Distinct rows in the mixture."""
    most_copies: int
    """How often the most frequent row occurs; 0 without rows."""
    characters: int
    """Characters of all message texts in the mixture, including copies."""
    tokens: int | None
    """The same in tokens, without chat template; None without a tokenizer."""


class Manifest(RowModel):
    """The whole of ``manifest.json``. It names no paths: equal mixtures have equal bytes."""

    form: Form
    unit: Unit
    size: int
    """The target size, in `unit`."""
    seed: int
    rows: int
    """Lines of ``rows.jsonl``."""
    digest: str
    """SHA-256 of ``rows.jsonl``."""
    shares: tuple[Share, ...]
    """By source and language, in the order of the specification."""
    other_languages: dict[str, dict[str, int]]
    """Rows left out by source, since the mixture does not have their language."""
    broken: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Place and reason of rows dropped as broken, by source."""
    left_out: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Valid rows that do not suit the form, by source and reason, such as answers that KTO rows
    call bad."""
    read_as: dict[str, str] = Field(default_factory=dict)
    """Each source's format in one line, e.g. ``Alpaca: instruction + input → output``."""
    columns: dict[str, dict[str, tuple[str, ...]]] = Field(default_factory=dict)
    """The columns that were read, by source and field."""
    unread: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Rows with a value that is not read, by source and column or key of messages."""
    overlaps: tuple[Overlap, ...]
    """The rows removed for overlapping a held-out prompt."""


def reading_notes(manifest: Manifest) -> list[str]:
    """Return how each source was read, and which of its columns were not."""
    notes = []
    for source, read_as in manifest.read_as.items():
        notes.append(f"{source}: read as {read_as}")
        unread, left_out = (each.get(source, {}) for each in (manifest.unread, manifest.left_out))
        left = {f"`{name}` is not read": rows for name, rows in unread.items()}
        left |= {f"left out, {reason}": rows for reason, rows in left_out.items()}
        if broken := manifest.broken.get(source):
            left["dropped as broken"] = len(broken)
        notes += [f"{source}: {what} ({rows:,} rows)" for what, rows in left.items()]
    return notes


_HEADER = ("source", "language", "asked", "got", "share", "unique", "most copies")


def share_table(manifest: Manifest) -> str:
    """Return the shares as a Markdown table: each source in each language, and each source.

    Shares are of the rows or tokens in the mixture. The last column has tokens, or characters
    without a tokenizer.
    """
    counted = all(share.tokens is not None for share in manifest.shares)
    header = (*_HEADER, "tokens" if counted else "characters")
    total = sum(share.got for share in manifest.shares)
    lines = [header, ("---", "---", *["---:"] * 6)]
    for source in dict.fromkeys(share.source for share in manifest.shares):
        shares = [share for share in manifest.shares if share.source == source]
        lines += [_line(share.language, [share], total) for share in shares]
        lines.append(_line("all", shares, total))
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _line(language: str, shares: list[Share], total: int) -> tuple[str, ...]:
    got = sum(share.got for share in shares)
    length = sum(share.characters if share.tokens is None else share.tokens for share in shares)
    return (
        shares[0].source,
        language,
        f"{sum(share.asked for share in shares):,}",
        f"{got:,}",
        f"{got / total:.2%}" if total else "–",
        f"{sum(share.unique for share in shares):,}",
        str(max(share.most_copies for share in shares)),
        f"{length:,}",
    )
