"""The manifest as a table."""

from mixmerge.mixing.manifest import Manifest, Share, share_table


def share(source: str, language: str, got: int, tokens: int | None) -> Share:
    return Share(
        source=source,
        language=language,
        read=2000,
        exact_duplicates=0,
        normalised_duplicates=0,
        overlapping=0,
        available=2000,
        asked=got,
        got=got,
        rows=got,
        unique=got,
        most_copies=min(got, 1),
        characters=10 * got,
        tokens=tokens,
    )


def manifest(*shares: Share) -> Manifest:
    return Manifest(
        form="conversations",
        unit="rows",
        size=2000,
        seed=0,
        rows=2000,
        digest="0" * 64,
        shares=shares,
        other_languages={},
        overlaps=(),
    )


def test_the_table_has_each_language_and_the_whole_of_each_source() -> None:
    """Shares are of what was got, summed by source."""
    table = share_table(
        manifest(
            share("general", "en", 850, 9000),
            share("general", "hi", 850, 12000),
            share("safety", "en", 150, 1),
            share("safety", "hi", 150, 2),
        )
    )
    assert table.splitlines()[0].endswith("| most copies | tokens |")
    assert "| general | all | 1,700 | 1,700 | 85.00% | 1,700 | 1 | 21,000 |" in table
    assert "| safety | hi | 150 | 150 | 7.50% | 150 | 1 | 2 |" in table
    assert "| safety | all | 300 | 300 | 15.00% | 300 | 1 | 3 |" in table


def test_without_tokenizer_the_table_has_characters() -> None:
    """The last column says what it counts."""
    table = share_table(
        manifest(share("general", "en", 2000, None), share("safety", "en", 0, None))
    )
    assert table.splitlines()[0].endswith("| characters |")
    assert "| safety | all | 0 | 0 | 0.00% | 0 | 0 | 0 |" in table


def test_a_manifest_reads_back() -> None:
    """A manifest is the same after writing and reading."""
    written = manifest(share("general", "en", 2000, 5))
    assert Manifest.model_validate_json(written.model_dump_json()) == written
