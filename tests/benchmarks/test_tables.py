"""Times become ratios and tables."""

from benchmarks.tables import Row, markdown, ratios, summaries


def _rows(program: str, *seconds: float, failure: str = "") -> list[Row]:
    return [
        Row(
            "0.5",
            "ties",
            turn,
            program,
            value,
            2 * value,
            10,
            4_000_000_000,
            1_500_000_000,
            failure,
        )
        for turn, value in enumerate(seconds)
    ]


ROWS = [
    *_rows("mergekit", 100.0, 90.0, 120.0),
    *_rows("mixmerge", 5.0, 3.0, 4.0),
    *_rows("floor", 1.0, 2.0, 1.0),
]


def test_ratios_are_taken_turn_by_turn() -> None:
    """Each ratio is of two runs of the same turn, and runs without a partner give none."""
    (summary,) = summaries(ROWS[:-1])
    assert summary.ratios("mergekit", "mixmerge") == [20.0, 30.0, 30.0]
    assert summary.ratios("mixmerge", "floor") == [5.0, 1.5]


def test_the_table_has_medians_pairs_and_memory() -> None:
    """A line holds median times, every ratio, their median, and resident (anonymous) memory."""
    line = markdown(ROWS).splitlines()[-1]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:6] == ["0.5", "ties", "100.00", "4.00", "**30.0**", "20.0 30.0 30.0"]
    assert cells[6:10] == ["1.00", "", "4.00", ""]
    assert cells[10:] == ["200.00", "8.00", "4.00 (1.50)", "4.00 (1.50)"]


def test_a_failed_program_has_no_times() -> None:
    """One failed run takes the program out of the ratios, and the table says that it failed."""
    failed = [*_rows("mergekit", 1.0), *_rows("mixmerge", 1.0, failure="no such method")]
    (summary,) = summaries(failed)
    assert summary.ratios("mergekit", "mixmerge") == []
    assert summary.memory("mixmerge") is None
    assert "| failed |" in markdown(failed)


def test_sizes_and_methods_keep_their_order() -> None:
    """Groups come in the order in which they were measured."""
    order = [("2", "ties"), ("0.1", "linear"), ("2", "linear")]
    rows = [Row(size, method, 0, "floor", 1.0) for size, method in order]
    assert [(summary.size, summary.method) for summary in summaries(rows * 2)] == order


def test_ratios_of_all_sizes_stand_in_one_table() -> None:
    """A line for each method, a column for each size by size, and nothing where nothing ran."""
    rows = [
        Row(size, method, 0, program, taken)
        for size, method, seconds in (
            ("2", "ties", 40.0),
            ("0.5", "ties", 8.0),
            ("2", "slerp", 6.0),
        )
        for program, taken in (("mergekit", seconds), ("mixmerge", 2.0))
    ]
    assert ratios(rows).splitlines()[2:] == ["| ties | 4.0× | 20.0× |", "| slerp |  | 3.0× |"]
