"""A newcomer's measure: one file and one line, and any axis of a study can use it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mixmerge
from mixmerge.evaluation import measures

FILE = '''
"""Wins less losses."""

from typing import ClassVar

from mixmerge.evaluation.measures.measure import Measure
from mixmerge.records import Verdict
from mixmerge.records.judge import Asks
from mixmerge.records.results import Interval


class NetWins(Measure):
    """Share of wins less share of losses, from -1 to 1."""

    key: ClassVar[str] = "net_wins"
    asks: ClassVar[Asks] = "comparison"
    of_base: ClassVar[float | None] = 0.5

    net_wins: str = "base"
    """The model that all others are compared with."""

    @property
    def title(self) -> str:
        """What a value is called at the head of a column."""
        return "net wins"

    @property
    def phrase(self) -> str:
        """The same within a sentence."""
        return "the wins less the losses"

    @property
    def range(self) -> Interval:
        """All lost, and all won."""
        return -1.0, 1.0

    def worth(self, verdict: Verdict) -> float:
        """Return the place of a verdict between a loss and a win."""
        return {"win": 1.0, "tie": 0.5, "loss": 0.0}[verdict.outcome]


MEASURE = NetWins
'''

PROGRAM = """
import json, sys
from tests.evaluation.worlds import INFOS, study
from mixmerge.evaluation.results import results
from mixmerge.evaluation.spec import EvaluateSpec, ResultsSpec

asked = {"prompts": {"testbed": "general"}, "judge": {"rules": "testbed"}, "measure": "net_wins"}
spec = EvaluateSpec.model_validate({"axes": {"quality": asked}})
verdicts = {name: {"quality": [row.model_copy(update={"axis": "quality"}) for row in rows]}
            for name, axes in study().items() for rows in [axes.get("general", [])] if rows}
found = results(ResultsSpec(study="newcomer", axes=spec.axes, draws=1000), "base", INFOS, verdicts)
counted = {name: [row.outcome for row in axes["quality"]] for name, axes in verdicts.items()}
schema = EvaluateSpec.model_json_schema()["$defs"]
print(json.dumps({"found": found.model_dump(mode="json"), "counted": counted,
                  "in_schema": "NetWins" in schema, "where": sys.modules["mixmerge"].__file__}))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a folder with a copy of the package that has the newcomer's file and its line."""
    source = Path(mixmerge.__file__).parent
    shutil.copytree(
        source, tmp_path / "mixmerge", ignore=shutil.ignore_patterns("__pycache__", "weights")
    )
    folder = tmp_path / "mixmerge" / Path(measures.__file__).parent.relative_to(source)
    (folder / "net_wins.py").write_text(FILE)
    registry = (folder / "__init__.py").read_text()
    assert registry.count('    "win_rate",\n') == 1
    (folder / "__init__.py").write_text(
        registry.replace('    "win_rate",\n', '    "win_rate",\n    "net_wins",\n')
    )
    return tmp_path


def test_one_file_and_one_line_make_a_measure(package: Path) -> None:
    """A study file names it, its schema knows it, and values, contrasts and decisions use it."""
    tests = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=package,
        env={"PYTHONPATH": f"{package}:{tests}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["where"].startswith(str(package))
    assert told["in_schema"]
    info = told["found"]["axes"]["quality"]
    assert (info["measure"], info["title"], info["bounds"]) == ("net_wins", "net wins", [-1, 1])
    values = {name: m["axes"]["quality"] for name, m in told["found"]["models"].items()}
    net = {
        name: (outcomes.count("win") - outcomes.count("loss")) / len(outcomes)
        for name, outcomes in told["counted"].items()
    }
    assert {name: values[name]["value"] for name in net} == pytest.approx(net)
    assert (values["base"]["value"], values["base"]["ci"]) == (0, [0, 0])
    contrast = told["found"]["contrasts"][1]
    assert (contrast["a"], contrast["b"]) == ("slerp", "base")
    assert contrast["difference"] == pytest.approx(net["slerp"])
    assert told["found"]["decisions"][1]["decision"] == "beats"
