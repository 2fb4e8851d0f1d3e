"""The sources of each output tensor: which tensors of which models, with which parameters.

Layers, slices, filters and gradients are resolved from names alone; no header is read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mixmerge.errors import ModelError, SpecError
from mixmerge.merging.methods.method import Arguments, Parameter, Scalar
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.layout import (
    Place,
    Stack,
    comes_after_layers,
    depth,
    depths,
    layer_stack,
    place,
)
from mixmerge.merging.recipes.recipe import MergeRecipe, Slice
from mixmerge.merging.recipes.sections import Setting, filters, value_for, with_fallback


class Origin(NamedTuple):
    """An output tensor, and its names in the sources."""

    name: str
    part: int
    """Index of the recipe's part that it belongs to."""
    depth: float
    """Of its layer in the part: 0 for the first, 1 for the last; 0 outside layers."""
    inputs: tuple[str, ...]
    """Its name in each source of the part, whether or not the source has it."""


class Composition(NamedTuple):
    """The tensors of the output and where its layers come from."""

    tensors: list[Origin]
    before: list[str]
    """With slices, the tensors that come before the layers."""
    layers: list[tuple[str, int]]
    """For each output layer the first source and its layer; empty without slices."""


def compose(recipe: MergeRecipe, models: Mapping[str, Checkpoint]) -> Composition:
    """Find the output's tensors: all that any source of their part has.

    With slices, what comes before the layers (and whatever is neither layer nor norm nor head)
    belongs to the first slice, and what comes after them to the last.

    Raises:
        SpecError: a slice asks for layers that a model does not have.
        ModelError: a model has no layers, or names them differently from another.
    """
    if not recipe.slices:
        (part,) = recipe.parts
        sources = [models[source.model] for source in part.sources]
        names = _union([model.tensors for model in sources])
        return Composition(list(_same_names(0, sources, names)), [], [])
    return _sliced(recipe.slices, models)


def _union(names: Iterable[Iterable[str]]) -> list[str]:
    """Return all names in order of first occurrence."""
    return list(dict.fromkeys(name for some in names for name in some))


def _same_names(part: int, sources: Sequence[Checkpoint], names: Sequence[str]) -> Iterator[Origin]:
    for name, deep in depths(names, sources[0].config).items():
        yield Origin(name, part, deep, (name,) * len(sources))


class _Layered:
    """A model's tensor names, by layer."""

    def __init__(self, model: Checkpoint) -> None:
        self.stack: Stack = layer_stack(model.name, model.tensors, model.config)
        self.layers: list[list[str]] = [[] for _ in range(self.stack.layers)]
        self.outside: list[str] = []
        self.beyond: list[Place] = []
        for name in model.tensors:
            found = place(name)
            if found is None or found.stack != self.stack.prefix:
                self.outside.append(name)
            elif found.layer < self.stack.layers:
                self.layers[found.layer].append(found.rest)
            else:
                self.beyond.append(found._replace(layer=found.layer - self.stack.layers))


def _sliced(slices: Sequence[Slice], models: Mapping[str, Checkpoint]) -> Composition:
    used = dict.fromkeys(source.model for part in slices for source in part.sources)
    layered = {name: _Layered(models[name]) for name in used}
    prefix = _common_prefix(layered)
    tensors = list(_outside(slices, 0, models, layered, after=False))
    before = [origin.name for origin in tensors]
    layers: list[tuple[str, int]] = []
    for number, part in enumerate(slices):
        names = [source.model for source in part.sources]
        ranges = [_range(layered, part, index, number) for index in range(len(names))]
        for step, numbers in enumerate(zip(*ranges, strict=True)):
            deep = depth(step, len(ranges[0]))
            stored = [layered[name].layers[at] for name, at in zip(names, numbers, strict=True)]
            for rest in _union(stored):
                inputs = tuple(f"{prefix}{at}{rest}" for at in numbers)
                tensors.append(Origin(f"{prefix}{len(layers)}{rest}", number, deep, inputs))
            layers.append((names[0], numbers[0]))
    last = len(slices) - 1
    ends = [layered[source.model] for source in slices[last].sources]
    for _, at, rest in dict.fromkeys(each for model in ends for each in model.beyond):
        inputs = tuple(f"{prefix}{model.stack.layers + at}{rest}" for model in ends)
        tensors.append(Origin(f"{prefix}{len(layers) + at}{rest}", last, 1.0, inputs))
    tensors += _outside(slices, last, models, layered, after=True)
    return Composition(tensors, before, layers)


def _outside(
    slices: Sequence[Slice],
    number: int,
    models: Mapping[str, Checkpoint],
    layered: Mapping[str, _Layered],
    *,
    after: bool,
) -> Iterator[Origin]:
    """Yield the tensors before (or after) the layers, from the sources of one slice."""
    sources = [source.model for source in slices[number].sources]
    names = _union([layered[name].outside for name in sources])
    prefix = layered[sources[0]].stack.prefix
    chosen = [name for name in names if comes_after_layers(name, prefix) == after]
    yield from _same_names(number, [models[name] for name in sources], chosen)


def _common_prefix(layered: Mapping[str, _Layered]) -> str:
    prefixes = {name: model.stack.prefix for name, model in layered.items()}
    first, *others = prefixes
    for other in others:
        if prefixes[other] != prefixes[first]:
            raise ModelError(
                f"layers are called {prefixes[first]}* in {first} and {prefixes[other]}* in "
                f"{other}; slices need models whose tensors have the same names."
            )
    return prefixes[first]


def _range(layered: Mapping[str, _Layered], part: Slice, index: int, number: int) -> range:
    """Return the layers of one source of a slice; all sources have the same number."""
    source = part.sources[index]
    count = layered[source.model].stack.layers
    low, high = source.layers or (0, count)
    if high > count:
        raise SpecError(
            f"slice {number + 1}: {source.model} has {count} layers, but the recipe asks for "
            f"layers {low} to {high} (the second number is one past the last layer)."
        )
    others = [other.layers or (0, layered[other.model].stack.layers) for other in part.sources]
    if any(end - begin != high - low for begin, end in others):
        shown = ", ".join(f"{begin} to {end}" for begin, end in others)
        raise SpecError(
            f"slice {number + 1}: all sources must have the same number of layers, not {shown}."
        )
    return range(low, high)


Level = Mapping[str, Setting]


class Part:
    """One part of a recipe: its sources and the method's arguments.

    A model's own value takes precedence over its slice's, that over the recipe's, and that over the
    default; where no rule at one level matches a tensor's name, the next level applies. Per-model
    values are looked up by the tensor's name in that model; shared ones (and SLERP's weights, which
    are one shared ``t`` in mergekit) by its name in the output, as in mergekit.
    """

    def __init__(self, recipe: MergeRecipe, part: Slice) -> None:
        """Prepare the parameters of one of ``recipe.parts``."""
        self._method = recipe.declaration
        base, sources = recipe.base_of(part), list(enumerate(part.sources))
        self._models = [(index, source) for index, source in sources if source.model != base]
        self.base = next((index for index, source in sources if source.model == base), None)
        self.merged = [index for index, _ in self._models]
        order = [model.name for model in (*recipe.models, *recipe.inputs)]
        self.positions = tuple(order.index(source.model) for _, source in self._models)
        self.preferred = base or recipe.files_from
        shared: tuple[Level, ...] = (part.parameters, recipe.parameters)
        self._settings = {
            parameter.name: [
                _first_of(parameter, source.parameters, *shared) for _, source in self._models
            ]
            if parameter.per_model
            else [_first_of(parameter, *shared)]
            for parameter in self._method.parameters
        }
        given = [each for settings in self._settings.values() for each in settings if each]
        self._filters = sorted({word for setting in given for word in filters(setting)})
        self._known: dict[tuple[float, tuple[bool, ...]], Arguments] = {}

    def of(self, origin: Origin) -> Arguments:
        """Return the method's arguments for one tensor.

        Raises:
            SpecError: a required parameter has no value, or the values are not valid together.
        """
        names = (origin.name, *(origin.inputs[index] for index, _ in self._models))
        if names.count(origin.name) == len(names):
            names = (origin.name,)
        # Most tensors differ only in name, so the arguments are cached by what filters match.
        case = (origin.depth, tuple([word in name for name in names for word in self._filters]))
        if case not in self._known:
            self._known[case] = self._resolve(origin)
        return self._known[case]

    def _resolve(self, origin: Origin) -> Arguments:
        arguments: dict[str, Scalar | tuple[Scalar, ...]] = {}
        for parameter in self._method.parameters:
            values = [
                self._value(parameter, setting, origin, number)
                for number, setting in enumerate(self._settings[parameter.name])
            ]
            arguments[parameter.argument] = tuple(values) if parameter.per_model else values[0]
        problem = self._method.problem(arguments)
        if problem:
            raise SpecError(f"tensor {origin.name}: {problem}.")
        return arguments

    def _value(
        self, parameter: Parameter, setting: Setting | None, origin: Origin, number: int
    ) -> Scalar:
        index, source = self._models[number]
        by_model = parameter.per_model and not parameter.by_output
        name = origin.inputs[index] if by_model else origin.name
        value = None if setting is None else value_for(setting, name, origin.depth)
        if value is None:
            value = parameter.default
        if value is None:
            whose = f" for model `{source.model}`" if parameter.per_model else ""
            raise SpecError(
                f"tensor {origin.name}: no rule of `{parameter.name}`{whose} matches its name; "
                "add a rule without a filter."
            )
        return value


def _first_of(parameter: Parameter, *levels: Level) -> Setting | None:
    given = [level[parameter.name] for level in levels if parameter.name in level]
    return with_fallback(*given) if given else None
