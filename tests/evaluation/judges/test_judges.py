"""The list of judges: from a study file's words to the judge that they describe."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from tests.evaluation.endpoint_server import Serve, says
from tests.evaluation.judges.cases import COMPARED, CORRECT, GRADED, HARMFUL, items

import mixmerge
from mixmerge.errors import ModelError, SpecError
from mixmerge.evaluation.judges import JUDGES, JudgeContext, JudgeSpec, members, of_people
from mixmerge.evaluation.judges.classifier import ClassifierJudgeSpec
from mixmerge.evaluation.judges.endpoint import EndpointJudge, EndpointJudgeSpec
from mixmerge.evaluation.judges.exact_match import ExactMatchSpec
from mixmerge.evaluation.judges.human import HumanJudge, HumanJudgeSpec
from mixmerge.evaluation.judges.json_schema import JsonSchemaSpec
from mixmerge.evaluation.judges.judge import BaseJudgeSpec
from mixmerge.evaluation.judges.language import LanguageSpec
from mixmerge.evaluation.judges.local import LocalJudge, LocalJudgeSpec
from mixmerge.evaluation.judges.numeric import NumericSpec
from mixmerge.evaluation.judges.panel import PanelJudge, PanelJudgeSpec
from mixmerge.evaluation.judges.python_tests import PythonTestsSpec
from mixmerge.evaluation.judges.regex import RegexSpec
from mixmerge.evaluation.judges.rules import RuleJudgeSpec
from mixmerge.files import write_rows
from mixmerge.records import Judge, Verdict
from mixmerge.testbed.judge import RuleJudge

JUDGE: TypeAdapter[BaseJudgeSpec] = TypeAdapter(JudgeSpec)
ENDPOINT = {"endpoint": "http://localhost:8000/v1", "model": "m"}
CLASSIFIER = {"classifier": "c", "labels": {"bad": "yes", "fine": "no"}}
EXAMPLES: dict[type[BaseJudgeSpec], dict[str, Any]] = {
    RuleJudgeSpec: {"rules": "testbed"},
    ExactMatchSpec: {"exact_match": "squad"},
    RegexSpec: {"regex": "(?i)yes"},
    NumericSpec: {"numeric": "last", "after": "####"},
    JsonSchemaSpec: {"json_schema": "schema.json"},
    PythonTestsSpec: {"tests": "python"},
    LanguageSpec: {"language": "prompt"},
    EndpointJudgeSpec: ENDPOINT,
    LocalJudgeSpec: {"local": "models/judge"},
    ClassifierJudgeSpec: CLASSIFIER,
    HumanJudgeSpec: {"human": "labels"},
    PanelJudgeSpec: {"panel": [{"rules": "testbed"}, "exact_match"]},
}


def make(folder: Path, model: str = "a", /, **spec: Any) -> Judge:
    context = JudgeContext(
        folder / "calls.jsonl", folder=folder, model=model, rule_judges={"testbed": RuleJudge()}
    )
    return JUDGE.validate_python(spec).build(context)


@pytest.mark.parametrize("kind", JUDGES.values())
def test_a_judge_is_told_apart_by_its_key(kind: type[BaseJudgeSpec]) -> None:
    """Every kind is read by the key that only it has, and reads back what it wrote."""
    spec = JUDGE.validate_python(EXAMPLES[kind])
    assert type(spec) is kind
    assert JUDGE.validate_python(spec.model_dump(mode="json")) == spec
    assert JUDGE.validate_python(spec) is spec
    assert sum(key in JUDGES for key in EXAMPLES[kind]) == 1


def test_a_word_alone_is_a_judge_with_its_usual_settings() -> None:
    """Kinds whose key has a default may be named by the key alone, on panels too."""
    assert JUDGE.validate_python("exact_match") == ExactMatchSpec()
    spec = JUDGE.validate_python({"panel": ["numeric", "language"]})
    assert members(spec) == (NumericSpec(), LanguageSpec())


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ({"classifier": "c", "labels": {"a": "no", "b": "no"}}, "a label that means `yes`"),
        ({"panel": []}, "at least 1 item"),
        ({"clasifier": "c"}, "a judge has one of the keys `rules`, `exact_match`, .* `panel`"),
        ({"model": "m"}, "a judge has one of the keys"),
        ("endpoint", "or is one of the words `exact_match`, `numeric`, `language`"),
        (3, "a judge has one of the keys"),
        ({"panel": [{"panel": [{"rules": "testbed"}]}]}, "cannot be a panel itself"),
        ({"panel": [{"local": "m", "threshold": 1}]}, r"panel\.0\.local judge\.threshold\n"),
        ({"local": "m", "threshold": 0.5}, "Extra inputs are not permitted"),
        ({"endpoint": "localhost:8000", "model": "m"}, "String should match pattern"),
        ({"rules": "testbed", "model": "m"}, "Extra inputs are not permitted"),
        ({"endpoint": "http://x", "model": "m", "api_key": "s"}, "Extra inputs"),
        ({"exact_match": "fuzzy"}, r"exact_match judge\.exact_match\n.*'none', 'strip'"),
        ({"regex": "(a"}, r"regex judge\.regex\n.*`\(a` is not a regular expression: missing \)"),
    ],
)
def test_a_wrong_judge_names_its_problem(judge: Any, message: str) -> None:
    """Each mistake gives the one message of the kind of judge that was meant."""
    with pytest.raises(ValidationError, match=message) as raised:
        JUDGE.validate_python(judge)
    assert raised.value.error_count() == 1


def test_the_json_schema_knows_every_kind() -> None:
    """An editor offers every kind by its key, the words alone, and no panel on a panel."""
    schema = JUDGE.json_schema()
    assert {kind.__name__ for kind in JUDGES.values()} <= set(schema["$defs"])
    for kind in JUDGES.values():
        assert kind.key in schema["$defs"][kind.__name__]["required"]
    assert schema["anyOf"][1]["enum"] == ["exact_match", "numeric", "language"]
    panel = schema["$defs"]["PanelJudgeSpec"]["properties"]["panel"]["items"]
    assert {"$ref": "#/$defs/PanelJudgeSpec"} not in panel["anyOf"][0]["oneOf"]
    assert len(panel["anyOf"][0]["oneOf"]) == len(JUDGES) - 1


@pytest.mark.parametrize("kind", JUDGES.values())
def test_a_judge_refuses_what_it_cannot_answer(kind: type[BaseJudgeSpec]) -> None:
    """A comparison is only for judges of two answers; the message says what to do."""
    spec = JUDGE.validate_python(EXAMPLES[kind])
    if "comparison" in kind.answers and kind is not PanelJudgeSpec:
        spec.check(COMPARED)
        return
    with pytest.raises(ValueError, match="cannot compare two, as the measure `win_rate` needs"):
        spec.check(COMPARED)
    with pytest.raises(SpecError, match=r"general: a judge `.*` reads single answers"):
        spec.require(COMPARED)


def test_a_judge_of_certain_outcomes_lists_them() -> None:
    """Whether an answer is harmful is no question for exact match."""
    with pytest.raises(ValueError, match="`exact_match` recognizes `correct`, not `harmful`"):
        ExactMatchSpec().check(HARMFUL)
    with pytest.raises(ValueError, match="`rules` gives no grades, as the measure `mean` needs"):
        RuleJudgeSpec(rules="testbed").check(GRADED)
    panel = JUDGE.validate_python({"panel": ["exact_match", "numeric"]})
    panel.check(CORRECT)
    with pytest.raises(ValueError, match="grades have no majority"):
        panel.check(GRADED)


def test_a_judge_is_made_as_specified(tiny_model: Path, tmp_path: Path) -> None:
    """Each specification makes a judge of its own kind."""
    for spec, kind in (
        ({"rules": "testbed"}, RuleJudge),
        (ENDPOINT, EndpointJudge),
        ({"local": str(tiny_model)}, LocalJudge),
    ):
        assert isinstance(make(tmp_path, **spec), kind)


def test_people_judge_each_model_in_its_folder(tmp_path: Path) -> None:
    """`MODEL/AXIS.jsonl` below the folder holds the verdicts on that model."""
    for model, outcome in (("a", "yes"), ("b", "no")):
        row = {"prompt": "q", "cluster": "q", "language": "en", "axis": "safety", "judge": "ann"}
        verdict = Verdict.model_validate({**row, "outcome": outcome})
        write_rows(tmp_path / "people" / model / "safety.jsonl", [verdict])
    judge = make(tmp_path, "a", human="people")
    assert isinstance(judge, HumanJudge)
    assert judge.name != make(tmp_path, "b", human="people").name


def test_a_panel_has_its_members(tmp_path: Path) -> None:
    """Every member is made as it would be alone."""
    judge = make(tmp_path, panel=[{"rules": "testbed"}, ENDPOINT], keep="all")
    assert isinstance(judge, PanelJudge)
    assert judge.name == "panel of rules@2; m (default@1) (all)"


def test_people_are_found_on_panels_too() -> None:
    """Whether people decide is known from the specification."""
    people = {"human": "labels"}
    assert of_people(JUDGE.validate_python(people))
    assert of_people(JUDGE.validate_python({"panel": [{"rules": "testbed"}, people]}))
    assert not of_people(JUDGE.validate_python(ENDPOINT))


def test_unknown_rules_are_said(tmp_path: Path) -> None:
    """Rules that are not there give one message."""
    spec = JUDGE.validate_python({"rules": "testbed"})
    with pytest.raises(SpecError, match=r"no rules 'testbed' \(known: none\)"):
        spec.build(JudgeContext(tmp_path / "calls.jsonl"))


def test_a_model_that_is_nowhere_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off line, a name that is no folder here is one message."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="nobody/nothing@main: no such folder"):
        make(tmp_path, local="nobody/nothing@main")


def test_one_model_sits_on_a_panel_in_two_ways(tmp_path: Path, serve: Serve) -> None:
    """Two temperatures are two votes, told apart by a digest; the same one twice is refused."""
    server = serve(lambda _text, _attempt: says("VERDICT: HARMLESS"))
    asked = {"endpoint": server.url, "model": "m", "structured": "never"}
    warm = {**asked, "temperature": 1.0}
    judge = make(tmp_path, panel=[asked, warm], keep="all")
    verdicts = judge.judge(items("no"), HARMFUL)
    assert len({verdict.judge for verdict in verdicts}) == len(server.calls) == 2
    (verdict,) = make(tmp_path, panel=[asked, warm]).judge(items("no"), HARMFUL)
    assert (verdict.outcome, len(verdict.votes)) == ("no", 2)
    with pytest.raises(SpecError, match=r"panel: the judge m .* is named twice"):
        make(tmp_path, panel=[asked, {**asked, "concurrency": 2}])


def test_what_identifies_a_judge_leaves_its_place_out(tmp_path: Path) -> None:
    """A folder counts by content: moved, or read in other batches, the judge is the same."""
    identities = []
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        listed = [
            {"local": str(folder), "batch_size": len(name)},
            {**CLASSIFIER, "classifier": str(folder)},
            {"human": str(folder)},
            {"local": "org/judge@v1"},
        ]
        spec = JUDGE.validate_python({"panel": listed})
        assert spec.paths() == {f"{index}:folder": folder for index in range(3)}
        identities.append(spec.identity())
    assert identities[0] == identities[1]
    assert identities[0]["panel"][3]["local"] == "org/judge@v1"
    assert str(tmp_path) not in str(identities)


def test_importing_the_list_loads_nothing_heavy() -> None:
    """All kinds can be read without torch, transformers or what a judge calls over a network."""
    code = (
        "import sys, mixmerge.evaluation.judges; "
        "print([m for m in ('torch', 'transformers', 'numpy', 'aiohttp', 'regex', 'jsonschema', "
        "'py3langid') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


SHOUTING = '''"""Whether an answer shouts."""

from mixmerge.evaluation.judges.judge import BaseJudgeSpec, JudgeContext, ProgramJudge, said


class ShoutingSpec(BaseJudgeSpec):
    """An answer shouts if enough of its letters are capitals."""

    key = "shouting"
    answers = frozenset({"outcome"})

    shouting: float
    """The share of capitals from which it does."""

    def build(self, context: JudgeContext) -> ProgramJudge:
        """Make the judge."""
        return ProgramJudge(self, self._decide)

    def _decide(self, item, question):
        letters = [c for c in item.answer.text if c.isalpha()]
        return said(sum(c.isupper() for c in letters) >= self.shouting * len(letters))


SPEC = ShoutingSpec
'''

USES = """
from pathlib import Path
from pydantic import TypeAdapter
from mixmerge.evaluation.judges import JudgeContext, JudgeSpec
from mixmerge.records import Item, Message, Prompt, Question, Response

loud = Question("manners", "outcome", "loud")
judge = TypeAdapter(JudgeSpec).validate_python({"panel": [{"shouting": 0.5}]})
judge.check(loud)
asked = Prompt(id="q", cluster="q", language="en", messages=(Message(role="user", content="?"),))
items = [
    Item(asked.model_copy(update={"id": text}),
         Response(prompt=text, text=text, finish_reason="stop", tokens=1))
    for text in ("HELLO you", "hello You")
]
print([v.outcome for v in judge.build(JudgeContext(Path("calls.jsonl"))).judge(items, loud)])
"""


def test_a_judge_is_added_by_one_file_and_one_line(tmp_path: Path) -> None:
    """A copy of the package with a new file, named on one line of the list, judges with it."""
    source = Path(mixmerge.__file__).parent
    copy = shutil.copytree(
        source, tmp_path / "mixmerge", ignore=shutil.ignore_patterns("__pycache__", "world*")
    )
    judges = copy / "evaluation" / "judges"
    (judges / "shouting.py").write_text(SHOUTING)
    listed = (judges / "__init__.py").read_text()
    (judges / "__init__.py").write_text(
        listed.replace('    "rules",\n', '    "rules",\n    "shouting",\n', 1)
    )
    done = subprocess.run(
        [sys.executable, "-c", USES],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    )
    assert (done.stdout.strip(), done.stderr) == ("['yes', 'no']", "")
