"""The merge methods, a short file each. To add one, write its file and add it to `METHODS`."""

from mixmerge.merge.methods import dare_linear, dare_ties, linear, slerp, task_arithmetic, ties
from mixmerge.merge.methods.method import Method

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (linear, slerp, task_arithmetic, ties, dare_linear, dare_ties)
}
"""Every method by the name that recipes use, which is mergekit's."""
