"""Layers and stacks of layers by name."""

from mixmerge.merging.models.layers import depths, layers


def test_depth_runs_from_the_first_layer_to_the_last() -> None:
    """Layer i of n has depth i / (n - 1); what is outside of layers has depth 0."""
    names = ["embed.weight", *(f"model.layers.{i}.mlp.weight" for i in range(11)), "norm.weight"]
    found = depths(names)
    assert [found[f"model.layers.{i}.mlp.weight"] for i in (0, 5, 10)] == [0.0, 0.5, 1.0]
    assert found["embed.weight"] == found["norm.weight"] == 0.0


def test_an_only_layer_counts_as_the_last() -> None:
    """With a single layer the gradient's last value is used, as in mergekit."""
    assert depths(["h.0.w", "wte"]) == {"h.0.w": 1.0, "wte": 0.0}


def test_each_stack_of_layers_is_counted_alone() -> None:
    """Experts do not count as layers, and a vision tower has its own depth."""
    names = [
        "vision.blocks.1.w",
        "vision.blocks.0.w",
        "text.layers.4.experts.63.w",
        "text.layers.0.w",
    ]
    assert depths(names) == {
        "vision.blocks.1.w": 1.0,
        "vision.blocks.0.w": 0.0,
        "text.layers.4.experts.63.w": 1.0,
        "text.layers.0.w": 0.0,
    }
    assert layers(names) == {"vision.blocks.": 2, "text.layers.": 5}
