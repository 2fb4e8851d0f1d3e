"""The arm of each checkpoint: the way of bringing objectives together that it stands for."""

from collections.abc import Iterator

from mixmerge.records.results import ARMS, DISTIL, MERGE_THEN_DISTIL, Arm, is_answer
from mixmerge.spec_model import Problem, unknown_name
from mixmerge.study.checkpoints import Selected, Trained
from mixmerge.study.spec import Study

_OF_SEVERAL = ("merge", MERGE_THEN_DISTIL, DISTIL, "mix")
"""The arm of a checkpoint that is chosen from several arms is the first of these."""


def arm(study: Study, name: str) -> Arm:
    """Return a checkpoint's arm: the group of `Study.arms` with it, or what it is made by."""
    named = next((arm for arm, members in study.arms.items() if name in members), None)
    if named is not None:
        return named
    if isinstance(study.checkpoints[name], Selected):
        found = [arm(study, each) for each in study.selectable(name)]
        if len(set(found)) == 1:
            return found[0]
        return next((each for each in _OF_SEVERAL if each in found), found[0])
    return _made_by(study, name)


def _made_by(study: Study, name: str) -> Arm:
    checkpoint = study.checkpoints[name]
    if isinstance(checkpoint, Trained) and checkpoint.teachers:
        # Distilling in several rounds stays the arm that it began as.
        while isinstance(checkpoint, Trained) and checkpoint.teachers and checkpoint.start:
            name, checkpoint = checkpoint.start, study.checkpoints[checkpoint.start]
        return MERGE_THEN_DISTIL if study.kind(name) == "merge" else DISTIL
    kind = study.kind(name)
    return next(arm for arm, of in ARMS.items() if of == kind)


def answers(study: Study) -> list[str]:
    """Return the checkpoints that are tested against the baseline of their stage."""
    baselines = study.baselines() if study.evaluate.baseline else {}
    pairs = {name: baselines.get(study.stage(name), name) for name in study.checkpoints}
    return [
        name
        for name, baseline in pairs.items()
        if name != baseline and is_answer(arm(study, name), arm(study, baseline))
    ]


def unknown_members(study: Study) -> Iterator[Problem]:
    """Find members of `Study.arms` that do not exist, or that are in several arms."""
    seen: dict[str, Arm] = {}
    for arm_name, members in study.arms.items():
        if arm_name == "base":
            yield ("arms", arm_name), "`base` is the base model's arm; give this one another name."
        for index, name in enumerate(members):
            here = ("arms", arm_name, index)
            if name not in study.checkpoints:
                yield here, unknown_name(name, "checkpoints", study.checkpoints)
            elif name in seen:
                yield here, f"`{name}` is in the arm `{seen[name]}` already."
            seen.setdefault(name, arm_name)
