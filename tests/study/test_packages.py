"""Which optional packages a study needs: those of parts that pending steps use, each once."""

import importlib.util
from pathlib import Path

import pytest
import yaml

from mixmerge.execution.plan import Planned
from mixmerge.execution.step import Step
from mixmerge.study.check import parse_study
from mixmerge.study.doctor import doctor
from mixmerge.study.explain import explain
from mixmerge.study.preflight import _packages
from mixmerge.study.spec import Study

STUDY = """
base: testbed
data: {safety: {testbed: safety}}
mixtures: {all: {size: 4, shares: {safety: 1}}}
training:
  full: {method: sft}
  small: {method: sft, adapter: {rank: 4, load_in_4bit: true}}
checkpoints:
  tuned: {train: full, mixture: all}
  frugal: {train: small, mixture: all}
evaluate:
  axes:
    tongue: {prompts: {testbed: general}, judge: &judge {language: en}, measure: mean}
    both:
      prompts: {testbed: general}
      judge: {panel: [*judge, {regex: x}], keep: all}
      measure: mean
placement: {slurm: {partition: gpu}}
tracking: {to: trackio}
"""


@pytest.fixture(autouse=True)
def _nothing_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide every optional package that the study names."""
    find = importlib.util.find_spec
    absent = {"py3langid", "bitsandbytes", "submitit", "trackio"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n in absent else find(n))


def needed(study: Study, *steps: str) -> dict[str, str]:
    """Return the place of each missing package if these steps are pending, by the message."""
    todo = [
        Planned(Step(kind, name), "to do")
        for kind, _, name in (step.partition("/") for step in steps)
    ]
    return {each.text: ".".join(map(str, each.place)) for each in _packages(study, todo)}


@pytest.mark.parametrize(
    ("steps", "packages"),
    [
        ((), []),
        (("merge/x",), ["trackio"]),
        (("train/tuned",), ["trackio"]),
        (("train/tuned", "train/frugal"), ["bitsandbytes", "trackio"]),
        (("judge/tuned",), ["py3langid", "trackio"]),
        (("calibrate/study",), ["py3langid", "trackio"]),
    ],
)
def test_only_what_will_run_needs_its_packages(steps: tuple[str, ...], packages: list[str]) -> None:
    """A recipe that nothing trains, a judge that has judged, and another engine need nothing."""
    study = parse_study(STUDY, "study.yaml")
    found = needed(study, *steps)
    assert sorted(said.split()[3].rstrip(":") for said in found) == packages


def test_a_package_is_named_once_with_its_extra() -> None:
    """The first part that needs it is named, and the command that installs it."""
    found = needed(parse_study(STUDY, "study.yaml"), "judge/tuned")
    judge = "needs the package py3langid: pip install 'mixmerge[judges]'."
    tracker = "needs the package trackio: pip install trackio."
    assert found == {judge: "evaluate.axes.tongue.judge", tracker: "tracking"}


def test_doctor_and_plan_say_the_same(tmp_path: Path) -> None:
    """Both list every missing package, with the line of the study file."""
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(STUDY)))
    missing = explain(file, tmp_path / "run").missing
    assert doctor(file).missing == missing
    assert sum("needs the package" in said for said in missing) == len(missing) == 3
    assert all(said.startswith(f"{file}, line ") for said in missing)
