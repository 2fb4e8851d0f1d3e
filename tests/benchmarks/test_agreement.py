"""The parity table shows numbers, oddities and refusals."""

from benchmarks.agreement import Cell, markdown


def test_cells_show_units_and_oddities() -> None:
    """A cell is the largest difference, followed by what cannot be compared."""
    assert Cell("Llama", "linear", ulp=0.5).text == "0.5"
    odd = Cell("Llama", "linear", ulp=3, missing=2, extra=14, far=1, other_ids=4)
    assert odd.text == "3, 14 tensors more, 2 tensors fewer, 4 other ids, 1 far"
    assert Cell("Llama", "ram", mixmerge="unknown method").text == "mixmerge refused"


def test_tables_are_recipe_by_architecture() -> None:
    """Rows are recipes, columns architectures; refusals are listed once below."""
    cells = [
        Cell("Llama", "linear", ulp=1, relative=1e-6),
        Cell("GPT-2", "linear", ulp=2, relative=3e-6),
        Cell("Llama", "ram", mixmerge="unknown method"),
        Cell("GPT-2", "ram", mixmerge="unknown method"),
        Cell("Llama, vocabularies", "linear, union", ulp=0),
        Cell("Llama", "dare_ties", kept=(0.5, 0.51), size=(2.0, 1.0), deviations=-0.5),
        Cell("GPT-2", "dare_ties", kept=(0.6, 0.49), size=(1.0, 2.0), deviations=1.5),
    ]
    text = markdown([*cells, Cell("Cohere", "dare_ties", mergekit="no such tensor")])
    assert "| recipe | Llama | GPT-2 | relative to the change |" in text
    assert "| linear | 1 | 2 | 3e-06 |" in text
    assert "| recipe | Llama, vocabularies | relative to the change |" in text
    ranges = "0.5000 to 0.6000 | 0.4900 to 0.5100 | -0.5 to +1.5 | 0.500 to 2.000"
    assert f"| dare_ties | {ranges} |" in text
    assert "- mixmerge, ram (Llama) and 1 more: unknown method\n" in text
    assert text.endswith("- mergekit, dare_ties (Cohere): no such tensor")
    assert text.count("dare_ties") == 2
