"""Problems of the `search` section that only the whole study shows."""

from collections.abc import Iterator

from mixmerge.evaluation.judges import of_people
from mixmerge.spec_model import Problem, quoted, unknown_name
from mixmerge.study.search_spec import SearchSpec
from mixmerge.study.spec import Study, has_weights


def search_problems(study: Study) -> Iterator[Problem]:
    """Find models, axes and prompts that a search needs and a study lacks."""
    search = study.search
    if search is None:
        return
    for index, name in enumerate(search.models):
        if name not in study.checkpoints:
            place = ("search", "models", index)
            yield place, unknown_name(name, "checkpoints", study.checkpoints)
        elif not has_weights(study, name):
            said = f"needs the weights of `{name}`, of which only an endpoint is given."
            yield ("search", "models", index), said
    stages = {name: study.stage(name) for name in search.models if name in study.checkpoints}
    if len(set(stages.values())) > 1:
        said = ", ".join(f"{name} is {stage}" for name, stage in stages.items())
        yield ("search", "models"), f"a merge is of checkpoints of one stage; {said}."
    yield from _axes(study, search)


def _axes(study: Study, search: SearchSpec) -> Iterator[Problem]:
    axes, place = study.evaluate.axes, ("search", "constraints")
    for limit in search.limits():
        if limit.axis not in axes:
            yield place, unknown_name(limit.axis, "evaluate.axes", axes)
    if study.selection is None:
        said = "chooses among merges, which needs `selection`: the prompts to choose on."
        yield ("search",), said
        return
    needed = [*study.evaluate.deciding, *(limit.axis for limit in search.limits())]
    without = [axis for axis in dict.fromkeys(needed) if axis in axes]
    without = [axis for axis in without if axis not in study.selection.prompts]
    if without:
        said = f"a search needs prompts of {quoted(without)} here: they decide or limit it."
        yield ("selection", "prompts"), said
    for axis in study.selection.prompts:
        if axis in study.evaluate.judged and of_people(study.evaluate.judged[axis].judge):
            said = f"people judge `{axis}`, and nobody can ask them about every candidate."
            yield ("search",), said
