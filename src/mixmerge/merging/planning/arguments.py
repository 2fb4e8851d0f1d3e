"""The values of a method's parameters for each tensor: levels, filters and gradients resolved."""

from collections.abc import Mapping

from mixmerge.errors import SpecError
from mixmerge.merging.methods.method import Arguments, Parameter, Scalar
from mixmerge.merging.planning.slices import Origin
from mixmerge.merging.recipes.recipe import MergeRecipe, Slice
from mixmerge.merging.recipes.schedules import Setting, filters, value_for, with_fallback

Level = Mapping[str, Setting]


class PartArguments:
    """The arguments of one part of a recipe.

    A model's own value counts before that of its slice, that before the recipe's, and that before
    the method's default; where no rule of a level matches a tensor's name, the next one decides.
    Values for a model are looked up by the tensor's name in that model, shared ones (and SLERP's
    weights, which mergekit has as one shared ``t``) by its name in the output, as in mergekit.
    """

    def __init__(self, recipe: MergeRecipe, part: Slice) -> None:
        """Prepare the settings of one of ``recipe.parts``."""
        self._method = recipe.declaration
        base = recipe.base_of(part)
        self._models = [
            (index, source) for index, source in enumerate(part.sources) if source.model != base
        ]
        shared: tuple[Level, ...] = (part.parameters, recipe.parameters)
        self._settings = {
            parameter.name: [
                _first_of(parameter, source.parameters, *shared) for _, source in self._models
            ]
            if parameter.per_model
            else [_first_of(parameter, *shared)]
            for parameter in self._method.parameters
        }
        self._filters = sorted(
            {
                part_of_name
                for settings in self._settings.values()
                for setting in settings
                if setting is not None
                for part_of_name in filters(setting)
            }
        )
        self._known: dict[tuple[float, tuple[bool, ...]], Arguments] = {}

    def of(self, origin: Origin) -> Arguments:
        """Return what the method is called with for one tensor.

        Raises:
            SpecError: a required parameter has no value, or values do not go together.
        """
        names = (origin.name, *(origin.inputs[index] for index, _ in self._models))
        if names.count(origin.name) == len(names):
            names = (origin.name,)
        # Tensors differ in names and rarely in what filters make of them: each case is found once.
        case = (origin.depth, tuple([word in name for name in names for word in self._filters]))
        if case not in self._known:
            self._known[case] = self._resolve(origin)
        return self._known[case]

    def _resolve(self, origin: Origin) -> Arguments:
        arguments = {
            parameter.argument: tuple(
                self._value(
                    parameter,
                    setting,
                    origin.name if parameter.by_output else origin.inputs[index],
                    origin,
                    source.model,
                )
                for setting, (index, source) in zip(
                    self._settings[parameter.name], self._models, strict=True
                )
            )
            if parameter.per_model
            else self._value(
                parameter, self._settings[parameter.name][0], origin.name, origin, None
            )
            for parameter in self._method.parameters
        }
        problem = self._method.problem(arguments)
        if problem:
            raise SpecError(f"tensor {origin.name}: {problem}.")
        return arguments

    def _value(
        self,
        parameter: Parameter,
        setting: Setting | None,
        name: str,
        origin: Origin,
        model: str | None,
    ) -> Scalar:
        value = None if setting is None else value_for(setting, name, origin.depth)
        if value is None:
            value = parameter.default
        if value is None:
            whose = f" for model `{model}`" if model is not None else ""
            raise SpecError(
                f"tensor {origin.name}: no rule of `{parameter.name}`{whose} matches its name; "
                "add a rule without a filter."
            )
        return value


def _first_of(parameter: Parameter, *levels: Level) -> Setting | None:
    given = [level[parameter.name] for level in levels if parameter.name in level]
    return with_fallback(*given) if given else None
