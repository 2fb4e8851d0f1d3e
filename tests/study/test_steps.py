"""Tests of mixmerge.study.steps and mixmerge.study.spec: from a study to what is asked."""

from pathlib import Path

import pytest

from mixmerge.execution.step import Step
from mixmerge.fingerprint import fingerprint
from mixmerge.study.check import parse_study
from mixmerge.study.spec import Study
from mixmerge.study.steps import KINDS, steps

SMALL = (Path(__file__).parents[1] / "data" / "small.yaml").read_text()


def small(*changes: tuple[str, str]) -> Study:
    text = SMALL
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_study(text, "small.yaml")


def by_id(study: Study) -> dict[str, Step]:
    return {step.id: step for step in steps(study)}


def test_every_part_becomes_steps() -> None:
    """The small study has its data, mixtures, trainings, merge, evaluations, results and report."""
    kinds = [step.kind for step in steps(small())]
    expected = {"base": 1, "data": 2, "prompts": 3, "mix": 4, "train": 4, "merge": 1}
    expected |= {"generate": 6, "judge": 6, "results": 1, "report": 1}
    assert {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)} == expected


def test_a_merge_weight_reaches_the_step() -> None:
    """What the study file says of a merge is what its step is asked, and nothing else changes."""
    models = "models: {sft-0: 0.3, sft-100: 0.7}"
    before, after = by_id(small()), by_id(small(("models: [sft-0, sft-100]", models)))
    assert after["merge/sft-dare-ties"].settings["models"] == {
        "sft-0": {"weight": 0.3},
        "sft-100": {"weight": 0.7},
    }
    changed = [name for name in before if before[name].settings != after[name].settings]
    assert changed == ["merge/sft-dare-ties", "report/study"]


def test_the_order_of_the_file_does_not_count() -> None:
    """A study with reordered keys asks the same of every step."""
    one = parse_study(SMALL, "a")
    two = parse_study(
        SMALL.replace("{size: 160, shares: {general: 1}}", "{shares: {general: 1}, size: 160}"), "b"
    )
    assert [step.settings for step in steps(one)] == [step.settings for step in steps(two)]


def test_the_order_of_the_sources_does_not_count() -> None:
    """Of a row in two sources the first is kept, so a mixture reads its sources by name."""
    old = "  general: {testbed: general}\n  safety: {testbed: safety}\n"
    new = "  safety: {testbed: safety}\n  general: {testbed: general}\n"
    settings = by_id(small((old, new)))["mix/safety-15-chats"].settings
    assert list(settings["sources"]) == ["general", "safety"]


@pytest.mark.parametrize(
    ("method", "version"),
    [("dare_linear", 3), ("dare_ties", 3), ("della", 3), ("della_linear", 3), ("ties", 2)],
)
def test_only_merges_that_draw_at_random_are_made_again(method: str, version: int) -> None:
    """Draws hung on the order of the file in an earlier version; other merges keep theirs."""
    asked = by_id(small(("method: dare_ties", f"method: {method}")))
    assert asked["merge/sft-dare-ties"].version == version


def test_kto_gets_its_rows_from_pairs_and_keeps_its_stage() -> None:
    """The objective alone decides the form of the mixture and the stage of the checkpoint."""
    study = small(("{method: sft,", "{method: kto, undesirable_weight: 1.2,"))
    asked = by_id(study)
    assert asked["mix/safety-0-labelled"].settings["form"] == "labelled"
    assert asked["train/sft-0"].inputs["rows"] == "mix/safety-0-labelled"
    assert asked["train/sft-0"].settings["undesirable_weight"] == 1.2
    assert asked["train/sft-0"].needs.seconds == 2 * by_id(small())["train/sft-0"].needs.seconds
    assert study.stage("sft-0") == "kto"


def test_the_seed_of_the_study_reaches_every_draw() -> None:
    """Mixing, training, merging, decoding and statistics get the study's seed."""
    asked = by_id(small(("seed: 1", "seed: 7")))
    for name in ("mix/safety-0-chats", "train/sft-0", "merge/sft-dare-ties", "results/study"):
        assert asked[name].settings["seed"] == 7
    assert asked["generate/base"].settings["seed"] == 7


def test_a_recipe_keeps_its_own_seed() -> None:
    """A seed written at a training recipe wins over the study's."""
    asked = by_id(small(("{method: sft,", "{seed: 3, method: sft,")))
    assert asked["train/sft-0"].settings["seed"] == 3
    assert asked["train/dpo-15"].settings["seed"] == 1


def test_placement_is_not_meaning() -> None:
    """Another batch per device changes no step's settings."""
    placed = parse_study(SMALL + "placement: {train: {per_device_batch: 4}}\n", "small.yaml")
    for before, after in zip(steps(small()), steps(placed), strict=True):
        assert before.settings == after.settings
    assert by_id(placed)["train/sft-0"].placement["per_device_batch"] == 4


def test_files_are_named_by_role(tmp_path: Path) -> None:
    """Paths of data files are outside the settings, so that a moved file is the same file."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "fr.jsonl").write_text("{}")
    found = []
    for name in ("here", "there"):
        source = f"general: {{files: {{fr: {tmp_path / name / 'fr.jsonl'}}}}}"
        found.append(by_id(small(("general: {testbed: general}", source)))["mix/safety-0-chats"])
    assert found[0].settings == found[1].settings
    assert found[0].files == {"general:fr.jsonl": str(tmp_path / "here" / "fr.jsonl")}


@pytest.mark.parametrize(
    ("name", "stage", "kind", "share"),
    [
        ("sft-0", "sft", "expert", 0.0),
        ("sft-15", "sft", "mixture", 0.15),
        ("sft-100", "sft", "expert", 1.0),
        ("sft-dare-ties", "sft", "merge", None),
        ("dpo-15", "dpo", "mixture", 0.15),
    ],
)
def test_checkpoints_are_described(name: str, stage: str, kind: str, share: float | None) -> None:
    """Stage, kind and shares follow from how a checkpoint is made."""
    study = small()
    assert (study.stage(name), study.kind(name)) == (stage, kind)
    shares = study.shares(name)
    assert (shares and shares["safety"]) == (pytest.approx(share) if share is not None else None)


def test_a_published_set_is_named_and_its_copy_counts_by_content(tmp_path: Path) -> None:
    """The set's name is asked; where its copy and its translations lie is not."""
    (tmp_path / "hi.csv").write_text("")
    prompts = (
        f"{{set: xstest, hub: {tmp_path}, files: {{hi: {tmp_path / 'hi.csv'}}}, "
        "translated: machine}"
    )
    old, new = "{testbed: over_refusal, split: dev}", prompts
    asked = by_id(small((old, new)))["prompts/over_refusal"]
    assert asked.settings["set"] == "xstest"
    assert (asked.settings["hub"], asked.settings["files"]) == ("folder", {"hi": "prompts:hi.csv"})
    assert asked.files == {"prompts:hub": str(tmp_path), "prompts:hi.csv": str(tmp_path / "hi.csv")}


def test_what_is_asked_can_be_read_back() -> None:
    """A step's settings are read by the process that runs it, the report's whole study included."""
    study = small(("{testbed: over_refusal, split: dev}", "{set: m_arena_hard}"))
    for step in steps(study):
        assert KINDS[step.kind].read_settings(step)
    (report,) = (step for step in steps(study) if step.kind == "report")
    assert KINDS["report"].read_settings(report).study.evaluate == study.evaluate


def test_what_generates_is_asked_only_where_it_changes_answers() -> None:
    """Transformers adds nothing to a step; vLLM its dtype; an endpoint each model's served name."""
    plain = by_id(small())["generate/sft-0"]
    assert "generate" not in plain.settings
    old = "  decoding: {max_new_tokens: 24}\n"
    vllm = "  generate: {backend: vllm, tensor_parallel: 4}\n"
    step = by_id(small((old, old + vllm)))["generate/sft-0"]
    assert step.settings["generate"] == {"backend": "vllm", "dtype": "bfloat16"}
    assert (step.needs.gpus, step.placement["generate"]["tensor_parallel"]) == (4, 4)
    served = '  generate: {endpoint: "http://localhost:8000/v1", model: "run-{model}"}\n'
    step = by_id(small((old, old + served)))["generate/sft-0"]
    assert step.settings["generate"]["model"] == "run-sft-0"
    assert step.placement["generate"]["endpoint"] == "http://localhost:8000/v1"
    assert step.needs.gpus == 0


def test_judges_count_by_content_and_not_by_place(tmp_path: Path) -> None:
    """People's verdicts and local judges are files of the step; their paths are not asked."""
    (tmp_path / "labels").mkdir()
    old = "{testbed: over_refusal, split: dev}, judge: {rules: testbed}"
    judge = f"{{panel: [{{human: {tmp_path / 'labels'}}}, {{rules: testbed}}], keep: all}}"
    new = f"{{testbed: over_refusal, split: dev}}, judge: {judge}"
    step = by_id(small((old, new)))["judge/sft-0"]
    assert step.settings["axes"]["over_refusal"]["judge"] == {
        "panel": [{"human": "folder"}, {"rules": "testbed"}],
        "keep": "all",
    }
    assert step.files == {"over_refusal:0:folder": str(tmp_path / "labels")}


def test_memory_is_asked_by_kind() -> None:
    """What a step of a kind needs reaches all steps of that kind and changes no identity."""
    asked = parse_study(SMALL + "placement: {memory_gb: {train: 40}}\n", "small.yaml")
    for step, before in zip(steps(asked), steps(small()), strict=True):
        assert step.needs.memory_gb == (40 if step.kind == "train" else 0)
        assert step.settings == before.settings


def test_tracking_is_not_meaning() -> None:
    """Trainings are told of the tracker, and no step is another one because of it."""
    told = parse_study(SMALL + "tracking: {to: wandb, project: ratios}\n", "small.yaml")
    for step, before in zip(steps(told), steps(small()), strict=True):
        assert step.settings == before.settings
    tracking = by_id(told)["train/sft-0"].placement["tracking"]
    assert tracking == {"to": "wandb", "project": "ratios"}


def test_identities_change_only_on_purpose() -> None:
    """Steps that are asked something else are done again in every run folder that people have."""
    asked = [
        (step.kind, step.name, step.version, step.settings, step.inputs)
        for step in steps(small())
        if step.kind != "report"
    ]
    seen, known = fingerprint(asked)[:16], "25188902b9249ee7"
    assert seen == known, (
        "what the steps of tests/data/small.yaml are asked has changed, so finished runs would be "
        "done again. If that is meant, say it in CHANGELOG.md, raise the `version` of a kind whose "
        f"code gives other output, and write {seen!r} here; if not, find the setting that changed."
    )
