"""`mixmerge.evaluate`: models that exist are asked, judged and compared, and nothing is trained."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.evaluation.endpoint_server import Server, says

import mixmerge
from mixmerge.errors import SpecError
from mixmerge.files import read_json, read_rows, write_rows
from mixmerge.records import Message, Prompt, Response, Results, Verdict
from mixmerge.records.judge_card import JudgeCard
from mixmerge.study.check import parse_study
from mixmerge.study.spec import Study

QUESTIONS = 12
LANGUAGES = ("en", "hi")
PROMPTS = QUESTIONS * len(LANGUAGES)


def answering(right: Callable[[int], bool]) -> Server:
    """Serve a model that knows the answers to some questions."""

    def answer(text: str, _attempt: int) -> Any:
        number = int(text.rsplit(maxsplit=1)[-1])
        return says(f"It is {number if right(number) else -1}.")

    return Server(answer)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    """Serve a base model that knows half, a model that knows all but one, and their judge."""
    running = {
        "base": answering(lambda number: number % 2 == 0),
        "other": answering(lambda number: number != 0),
        "judge": Server(lambda _text, _attempt: says("VERDICT: TIE")),
    }
    yield running
    for server in running.values():
        server.stop()


@pytest.fixture(scope="module")
def asked(servers: dict[str, Server], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return an evaluation of two served models: one axis by arithmetic, one by a judge model."""
    file = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    write_rows(
        file,
        [
            Prompt(
                id=f"q{number}-{language}",
                cluster=f"q{number}",
                language=language,
                messages=(Message(role="user", content=f"{language} {number}"),),
                accepted=(str(number),),
            )
            for number in range(QUESTIONS)
            for language in LANGUAGES
        ],
    )
    prompts = {"files": str(file)}
    judge = {"endpoint": servers["judge"].url, "model": "j", "structured": "never"}
    return {
        "study": "served",
        "languages": list(LANGUAGES),
        "base": {"generate": {"endpoint": servers["base"].url, "model": "base-m"}},
        "checkpoints": {
            "other": {
                "generate": {"endpoint": servers["other"].url, "model": "other-m"},
                "kind": "merge",
                "method": "linear",
            }
        },
        "evaluate": {
            "axes": {
                "right": {
                    "prompts": prompts,
                    "judge": "numeric",
                    "measure": {"rate": "correct", "relative": True},
                },
                "liked": {"prompts": prompts, "judge": judge, "measure": "win_rate"},
            },
            "decoding": {"max_new_tokens": 4},
            "draws": 1000,
        },
    }


def study(values: dict[str, Any]) -> Study:
    return parse_study(yaml.safe_dump(values, sort_keys=False), "evaluation.yaml")


def changed(asked: dict[str, Any], axis: str, **more: Any) -> dict[str, Any]:
    """Return the same evaluation with changes to one axis."""
    axes = asked["evaluate"]["axes"]
    axes = axes | {axis: axes[axis] | more}
    return asked | {"evaluate": asked["evaluate"] | {"axes": axes}}


@pytest.fixture(scope="module")
def finished(
    asked: dict[str, Any], servers: dict[str, Server], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Results]:
    """Return the run folder and the results of the evaluation, given as a file."""
    assert not any(server.calls for server in servers.values())
    file = tmp_path_factory.mktemp("study") / "served.yaml"
    file.write_text(yaml.safe_dump(asked, sort_keys=False))
    out = file.with_name("out")
    return out, mixmerge.evaluate(file, out)


def counts(servers: dict[str, Server]) -> dict[str, int]:
    return {name: len(server.calls) for name, server in servers.items()}


def test_served_models_are_answered_judged_and_compared(finished: tuple[Path, Results]) -> None:
    """Base model and checkpoint are both served; values are those that one counts by hand."""
    out, found = finished
    assert (found.study, list(found.models), list(found.axes)) == (
        "served",
        ["base", "other"],
        ["right", "liked"],
    )
    other = found.models["other"]
    assert (other.kind, other.method, other.stage) == ("merge", "linear", "given")
    assert found.models["base"].axes["right"].value == 0.5
    assert other.axes["right"].value == pytest.approx(11 / 12)
    change = other.axes["right"].change_from_base
    assert change is not None
    assert change.relative == pytest.approx((11 / 12 - 0.5) / 0.5)
    assert other.axes["liked"].outcomes == {"win": 0, "tie": PROMPTS, "loss": 0}
    # Without a baseline everything is tested against the base model.
    assert [(d.a, d.b) for d in found.decisions] == [("other", "base")]
    answers = read_rows(next(out.glob("generate/other-*/right.jsonl")), Response)
    assert answers[2].text == "It is 1."
    assert (out / "report.html").is_file()


def test_what_two_axes_ask_alike_is_asked_once(
    finished: tuple[Path, Results], servers: dict[str, Server]
) -> None:
    """Each model is asked each prompt once, under its own name, with the study's decoding."""
    del finished
    for name in ("base", "other"):
        calls = servers[name].calls
        assert {body["model"] for body in calls} == {f"{name}-m"}
        assert {body["max_tokens"] for body in calls} == {4}
        texts = [body["messages"][0]["content"] for body in calls]
        assert len(texts) == len(set(texts)) == PROMPTS


def test_a_second_call_asks_nothing_twice(
    finished: tuple[Path, Results], asked: dict[str, Any], servers: dict[str, Server]
) -> None:
    """The same study as an object, or with another speed of the judge, finds all of it done."""
    out, found = finished
    before = counts(servers)
    assert mixmerge.evaluate(study(asked), out) == found
    written = (out / "results.json").read_bytes()
    assert Results.model_validate_json(written) == found
    judge = asked["evaluate"]["axes"]["liked"]["judge"]
    quicker = changed(asked, "liked", judge=judge | {"concurrency": 2})
    assert mixmerge.evaluate(study(quicker), out) == found
    assert (out / "results.json").read_bytes() == written
    assert counts(servers) == before


def test_another_way_of_asking_asks_the_judge_again(
    finished: tuple[Path, Results], asked: dict[str, Any], servers: dict[str, Server]
) -> None:
    """A judge model's temperature changes verdicts though not answers: only it is asked again."""
    out, before = finished[0], counts(servers)
    judge = asked["evaluate"]["axes"]["liked"]["judge"]
    warmer = changed(asked, "liked", judge=judge | {"temperature": 1.0})
    mixmerge.evaluate(study(warmer), out)
    after = counts(servers)
    # Identical answers are ties and are not sent; the others are sent in both orders.
    different = sum(n % 2 == (1 if n else 0) for n in range(QUESTIONS)) * len(LANGUAGES)
    assert after == before | {"judge": before["judge"] + 2 * different}
    assert servers["judge"].calls[-1]["temperature"] == 1.0


def test_people_judge_each_model_from_their_files(
    finished: tuple[Path, Results],
    asked: dict[str, Any],
    servers: dict[str, Server],
    tmp_path: Path,
) -> None:
    """Every prompt of every model is covered by a verdict in its folder, or counted as missing."""
    before = counts(servers)
    prompts = read_rows(Path(asked["evaluate"]["axes"]["right"]["prompts"]["files"]), Prompt)
    for model, good in (("base", 12), ("other", 3)):
        rows = [
            Verdict(
                prompt=prompt.id,
                cluster=prompt.cluster,
                language=prompt.language,
                axis="right",
                judge="ann",
                outcome="yes" if number < good else "no",
            )
            for number, prompt in enumerate(prompts)
            if (model, number) != ("other", 23)
        ]
        write_rows(tmp_path / "people" / model / "right.jsonl", rows)
    by_people = changed(asked, "right", judge={"human": str(tmp_path / "people")})
    del by_people["evaluate"]["axes"]["liked"]
    found = mixmerge.evaluate(study(by_people), finished[0])
    # Fewer axes ask for nothing that was not answered before.
    assert counts(servers) == before
    base, other = (found.models[name].axes["right"] for name in ("base", "other"))
    assert (base.value, base.missing) == (0.5, 0)
    assert other.value == pytest.approx(3 / 23)
    assert other.missing == 1


def test_folders_and_served_models_stand_side_by_side(tmp_path: Path) -> None:
    """A copy of the base model's folder ties with it everywhere and harms exactly as it does."""
    served = Server(lambda _text, _attempt: says("I refuse."))
    prompts = {"testbed": "safety", "split": "dev"}
    axis = {"prompts": prompts, "judge": {"rules": "testbed"}}
    harm = {**axis, "measure": {"rate": "harmful"}, "better": "lower"}
    values = {
        "base": "testbed",
        "checkpoints": {
            "same": {"model": "testbed", "kind": "mixture", "stage": "sft"},
            "served": {"generate": {"endpoint": served.url, "model": "m"}, "stage": "sft"},
        },
        "evaluate": {"axes": {"harm": harm}, "baseline": "same", "draws": 1000},
    }
    try:
        found = mixmerge.evaluate(study(values), tmp_path / "out")
    finally:
        served.stop()
    harm_of = {name: model.axes["harm"] for name, model in found.models.items()}
    assert harm_of["same"].value == harm_of["base"].value > 0
    assert harm_of["served"].value == 0
    assert found.baselines == {"sft": "same"}
    assert [(c.a, c.b, c.family) for c in found.contrasts] == [
        ("same", "base", "secondary"),
        ("served", "base", "secondary"),
        ("served", "same", "secondary"),
    ]
    assert (found.contrasts[0].difference, found.contrasts[0].p) == (0, 1)
    assert found.decisions == ()


@pytest.fixture(scope="module")
def on_trial(servers: dict[str, Server]) -> dict[str, Any]:
    """Return an evaluation whose judge model is compared with the testbed's rules."""
    judge = {"endpoint": servers["judge"].url, "model": "tried", "structured": "never"}
    return {
        "study": "trial",
        "base": "testbed",
        "checkpoints": {"same": "testbed"},
        "evaluate": {
            "axes": {
                "harm": {
                    "prompts": {"testbed": "safety", "split": "dev"},
                    "judge": judge,
                    "measure": {"rate": "harmful"},
                    "better": "lower",
                }
            },
            "calibrate": {"rules": "testbed", "questions": 10, "probes": 2},
            "draws": 1000,
        },
    }


def test_a_trial_ahead_asks_only_about_labelled_answers(
    on_trial: dict[str, Any], tmp_path: Path
) -> None:
    """The judge sees ten answers a model and the probes; afterwards it is asked only the rest."""
    judge = Server(lambda text, _: says(f"VERDICT: HARM{'FUL' if len(text) % 2 else 'LESS'}"))
    tried = on_trial["evaluate"]["axes"]["harm"]["judge"] | {"endpoint": judge.url}
    asked = study(changed(on_trial, "harm", judge=tried))
    out = tmp_path / "out"
    try:
        card = mixmerge.evaluate(asked, out, calibrate=True)
        ahead = len(judge.calls)
        assert JudgeCard.model_validate(read_json(out / "judge_card.json")) == card
        assert not (out / "results.json").exists()
        assert not (out / "judge").exists()
        assert card.axes["harm"].accuracy.n == 20
        assert card.corrected == ()
        found = mixmerge.evaluate(asked, out)
        texts = [body["messages"][0]["content"] for body in judge.calls]
    finally:
        judge.stop()
    assert found.models["same"].axes["harm"].n > 20
    assert len(texts) > ahead
    # No text that the trial sent is sent again by the judging of the same model.
    assert not set(texts[:ahead]) & set(texts[ahead:])
    corrected = JudgeCard.model_validate(read_json(out / "judge_card.json")).corrected
    assert [(rate.model, rate.axis) for rate in corrected] == [("base", "harm"), ("same", "harm")]


def test_a_trial_needs_its_section(asked: dict[str, Any], tmp_path: Path) -> None:
    """Without labels there is nothing to compare a judge with; the message says what to write."""
    with pytest.raises(SpecError, match="needs a section `calibrate` that says where the labels"):
        mixmerge.evaluate(study(asked), tmp_path / "out", calibrate=True)


def test_what_is_trained_is_refused(tmp_path: Path) -> None:
    """A study that trains belongs to another command."""
    small = Path(__file__).parents[1] / "data" / "small.yaml"
    with pytest.raises(SpecError, match=r"checkpoints\.sft-0: is trained, and .*`mixmerge run`"):
        mixmerge.evaluate(small, tmp_path / "out")


def test_what_cannot_work_is_said_before_any_answer(
    asked: dict[str, Any], servers: dict[str, Server], tmp_path: Path
) -> None:
    """A study, a model or prompts that are not there, and an empty language, cost no call."""
    before, out = counts(servers), tmp_path / "out"
    with pytest.raises(SpecError, match=r"nowhere\.yaml: no such file"):
        mixmerge.evaluate(tmp_path / "nowhere.yaml", out)
    with pytest.raises(
        SpecError, match=r"checkpoints\.other\.model: .*nowhere does not exist; check the path"
    ):
        mixmerge.evaluate(study(asked | {"checkpoints": {"other": "./nowhere"}}), out)
    gone = {"files": str(tmp_path / "gone.jsonl")}
    with pytest.raises(
        SpecError, match=r"evaluate\.axes\.right\.prompts\.files: .*gone\.jsonl does not exist"
    ):
        mixmerge.evaluate(study(changed(asked, "right", prompts=gone)), out)
    assert not out.exists()
    with pytest.raises(SpecError, match="no prompt is in the language 'fr'"):
        mixmerge.evaluate(study(asked | {"languages": ["en", "fr"]}), out)
    assert counts(servers) == before
