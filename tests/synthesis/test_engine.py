"""Tests of mixmerge.synthesis.engine: whole runs against a scripted endpoint, with exact counts."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.endpoint_server import Answer, says
from tests.synthesis.conftest import Model, made, text_of

from mixmerge.durable import claimed
from mixmerge.errors import DataError, HeldError, ResourceError, SpecError, UserError
from mixmerge.files import read_json, read_rows
from mixmerge.mixing.materialise import mix
from mixmerge.mixing.spec import MixSpec
from mixmerge.synthesis import engine
from mixmerge.synthesis.engine import LOCK, generate, plan
from mixmerge.synthesis.report import REPORT
from mixmerge.synthesis.row import DROPPED, ROWS, DroppedRow, Row

PIPELINE: list[dict[str, Any]] = [
    {"rephrase": 2},
    {"translate": ["hi", "fr"], "back_translation": {"chrf": 90}},
    {"answer": "safe", "of": ["rephrase", "translate"], "samples": 2},
    {"contrast": "unsafe"},
]


def pair_step(url: str) -> dict[str, Any]:
    price = {"input": 1, "output": 2}
    return {"pairs": {"judge": {"endpoint": url, "model": "judge", "price": price}}, "of": "answer"}


def test_a_pipeline_makes_what_its_counts_say(model: Model, seeds: Path, tmp_path: Path) -> None:
    """Rows, calls and provenance of four steps and a judge are exactly those of the arithmetic."""
    server = model()
    spec = made(seeds, server.url, [*PIPELINE, pair_step(server.url)], budget=10)
    planned = plan(spec, tmp_path / "out")
    assert server.calls == []
    assert not (tmp_path / "out").exists()
    report = generate(spec, tmp_path / "out")
    # 3 seeds; 6 new; 12 translated, there and back; 18 answered twice; 36 answers to avoid, of
    # which the 18 prompts have one each; 18 comparisons in both orders.
    calls = {step.name: sum(u.calls for u in step.models.values()) for step in report.steps}
    assert calls == {"rephrase": 3, "translate": 24, "answer": 36, "contrast": 18, "pairs": 36}
    assert {s.name: (s.took, s.made) for s in planned.steps} == {
        "rephrase": (3, 6),
        "translate": (6, 12),
        "answer": (18, 36),
        "contrast": (36, 36),
        "pairs": (36, 18),
    }
    assert planned.calls == report.calls == len(server.calls) == 117
    ties = report.steps[-1].dropped.get("a tie", 0)
    assert report.steps[-1].made == 18 - ties
    rows = read_rows(tmp_path / "out" / ROWS, Row)
    assert len(rows) == len({row.id for row in rows}) == report.rows == 36 + 18 - ties
    assert Counter(row.language for row in rows) == report.languages
    one = next(row for row in rows if row.language == "hi")
    assert one.provenance.licence == "CC-BY-4.0"
    assert one.provenance.translated == "machine"
    steps = [(by.recipe, by.model) for by in one.provenance.made_by]
    assert steps == [(key, "m-1") for key in ("rephrase", "translate", "answer", "contrast")]
    assert one.provenance.made_by[1].measured["chrf"] == 100
    assert read_json(tmp_path / "out" / REPORT) == report.model_dump(mode="json")
    assert report.dollars is not None
    assert report.dollars == pytest.approx(
        sum(u.dollars or 0 for step in report.steps for u in step.models.values()), abs=1e-4
    )


def test_a_second_run_asks_nothing_and_writes_the_same(
    model: Model, seeds: Path, tmp_path: Path
) -> None:
    """With all replies journalled, the files are the same byte for byte, and the plan is empty."""
    server = model()
    spec = made(seeds, server.url, [*PIPELINE, pair_step(server.url)])
    generate(spec, tmp_path / "out")
    before = {n: (tmp_path / "out" / n).read_bytes() for n in (ROWS, DROPPED, REPORT)}
    asked = len(server.calls)
    assert plan(spec, tmp_path / "out").calls == 0
    generate(spec, tmp_path / "out")
    assert len(server.calls) == asked
    assert {n: (tmp_path / "out" / n).read_bytes() for n in before} == before


def test_rows_do_not_depend_on_the_order_of_replies(
    model: Model, seeds: Path, tmp_path: Path
) -> None:
    """One call at a time and many at once give the same bytes."""
    written = []
    for folder, concurrency in (("one", 1), ("many", 50)):
        spec = made(seeds, model().url, PIPELINE, {"concurrency": concurrency})
        generate(spec, tmp_path / folder)
        written.append((tmp_path / folder / ROWS).read_bytes())
    assert written[0] == written[1]


def test_faults_are_tried_again_and_nothing_is_asked_twice(
    model: Model, seeds: Path, tmp_path: Path
) -> None:
    """Every first attempt fails with 429 or 500; the rows are those of a server without faults."""

    def flaky(body: dict[str, Any], attempt: int) -> Answer | None:
        if attempt == 1:
            return (429 if len(text_of(body)) % 2 else 500), {}, b"busy"
        return None

    clean, faulty = model(), model(flaky)
    rows = []
    for server, name in ((clean, "clean"), (faulty, "faulty")):
        generate(made(seeds, server.url, PIPELINE), tmp_path / name)
        rows.append((tmp_path / name / ROWS).read_bytes())
    assert rows[0] == rows[1]
    assert len(faulty.calls) == 2 * len(clean.calls)


def test_replies_that_cannot_be_used_are_counted_and_kept(
    model: Model, seeds: Path, tmp_path: Path
) -> None:
    """Refused, cut, empty, malformed and short replies drop their rows with the reason."""
    rejects: list[Answer] = [
        says("I cannot", finish_reason="content_filter"),
        says('{"requests": ["a', finish_reason="length"),
        says("  "),
        says("I'm sorry, but I can't help with that."),
        says(json.dumps({"requests": ["one", "one"]})),
        says(json.dumps({"requests": ["one"]})),
        says(json.dumps({"requests": ["one", "two", "three"]})),
        says(json.dumps({"requests": ["one", 2]})),
        says(json.dumps({"requests": ["one", ""]})),
        says('```json\n{"requests": ["fenced", "list"]}\n```'),
        says('["plain", "list"]'),
    ]
    lines = [{"prompt": f"seed {number}", "id": f"s{number}"} for number in range(len(rejects))]
    seeds.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def script(body: dict[str, Any], _: int) -> Answer:
        return rejects[int(text_of(body).removeprefix("seed "))]

    report = generate(made(seeds, model(script).url, [{"rephrase": 2}]), tmp_path / "out")
    assert report.steps[0].dropped == {
        "malformed reply": 2,
        "the model refused": 1,
        "cut off at `max_tokens`": 1,
        "empty reply": 1,
        "the same as its seed or a sibling": 1,
        "fewer texts than asked for": 1,
        "more texts than asked for": 1,
        "an empty text in the list": 1,
    }
    assert report.rows == 1 + 1 + 2 + 1 + 2 + 2
    dropped = read_rows(tmp_path / "out" / DROPPED, DroppedRow)
    refusal = next(each for each in dropped if "sorry" in each.detail)
    assert (refusal.step, refusal.row.prompt_text) == ("rephrase", "seed 3")


def test_a_model_that_never_says_anything_usable_is_stopped_early(
    model: Model, seeds: Path, tmp_path: Path
) -> None:
    """After ten useless replies no more are paid for; the error says what came."""
    lines = [{"prompt": f"seed {number}"} for number in range(300)]
    seeds.write_text("".join(json.dumps(line) + "\n" for line in lines))
    server = model(lambda *_: says("No."))
    spec = made(seeds, server.url, [{"rephrase": 2}], {"concurrency": 4})
    with pytest.raises(SpecError, match=r"none of the first 10 replies.*malformed reply.*No\."):
        generate(spec, tmp_path / "out")
    assert len(server.calls) < 20


def test_calls_that_fail_stop_the_run_or_drop_their_rows(
    model: Model, seeds: Path, tmp_path: Path
) -> None:
    """The other replies are kept; `failed_calls: drop` leaves only these rows out."""

    def script(body: dict[str, Any], _: int) -> Answer | None:
        return (500, {}, b"down") if "lock" in text_of(body) else None

    server = model(script)
    spec = made(seeds, server.url, [{"rephrase": 2}], {"attempts": 1})
    with pytest.raises(ResourceError, match=r"1 of 3 calls failed; the first, about row .* down"):
        generate(spec, tmp_path / "out")
    assert len(server.calls) == 3
    dropping = spec.model_copy(update={"failed_calls": "drop"})
    report = generate(dropping, tmp_path / "out")
    assert len(server.calls) == 4  # only the one that failed
    assert report.steps[0].dropped == {"the call failed": 1}
    assert report.rows == 4


def test_the_budget_is_one_for_all_models_and_judges(
    model: Model, seeds: Path, tmp_path: Path
) -> None:
    """No call is sent that could exceed it; with a larger one the same command goes on."""
    server = model()
    spec = made(seeds, server.url, [*PIPELINE, pair_step(server.url)], budget=0.03)
    with pytest.raises(ResourceError, match=r"The budget of \$0\.03 has no room"):
        generate(spec, tmp_path / "out")
    paid = len(server.calls)
    assert 0 < paid < 117
    report = generate(spec.model_copy(update={"budget": 10.0}), tmp_path / "out")
    assert len(server.calls) == report.calls == 117


@pytest.mark.parametrize(
    ("late", "said"),
    [
        ({"answer": "plain", "instruction": "missing.txt"}, r"missing.txt: cannot be read"),
        ({"answer": "plain", "filters": [{"overlap": ["missing.jsonl"]}]}, r"missing.jsonl"),
        ({"answer": "plain", "model": "keyed"}, r"NO_SUCH_KEY"),
        ({"answer": "plain", "model": "folder"}, r"nowhere/model"),
    ],
)
def test_what_a_later_step_lacks_is_found_before_anything_is_paid(
    model: Model, seeds: Path, tmp_path: Path, late: dict[str, Any], said: str
) -> None:
    """A missing file, key or folder of the last step stops the command before the first call."""
    server = model()
    served = {"endpoint": server.url, "model": "m-1"}
    models = {
        "m": served,
        "keyed": served | {"api_key_env": "NO_SUCH_KEY"},
        "folder": {"folder": str(tmp_path / "nowhere/model")},
    }
    used = {name: models[name] for name in {"m", late.get("model", "m")}}
    steps = [{"rephrase": 2, "model": "m"}, {"model": "m", **late}]
    with pytest.raises(UserError, match=said):
        generate(made(seeds, server.url, steps, models=used), tmp_path / "out")
    assert server.calls == []


def test_nothing_left_is_an_error_with_the_reasons(
    model: Model, seeds: Path, tmp_path: Path
) -> None:
    """The rows that were dropped and the report are there, and the error counts the reasons."""
    spec = made(seeds, model(lambda *_: says("No.")).url, [{"rephrase": 2}])
    with pytest.raises(DataError, match=r"no row is left \(3 malformed reply\)"):
        generate(spec, tmp_path / "out")
    assert len(read_rows(tmp_path / "out" / DROPPED, DroppedRow)) == 3
    assert read_json(tmp_path / "out" / REPORT)["rows"] == 0


def test_one_command_at_a_time_in_a_folder(
    model: Model, seeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one is refused with the name of the first, and asks nothing."""
    monkeypatch.setattr(engine, "_SECONDS_TO_START", 0.1)
    server = model()
    (tmp_path / "out").mkdir()
    with (
        claimed(tmp_path / "out" / LOCK, "generation", patience=0),
        pytest.raises(HeldError, match="another process is running this generation"),
    ):
        generate(made(seeds, server.url, [{"rephrase": 2}]), tmp_path / "out")
    assert server.calls == []


def test_filters_and_quotas_apply_where_the_file_says(
    model: Model, seeds: Path, tmp_path: Path
) -> None:
    """A step's filter spares later calls; a quota is filled exactly, or said to be short."""
    server = model()
    short = {"length": "characters", "prompt": [1, 40]}
    steps = [{"rephrase": 3, "filters": [short]}, {"answer": "plain"}]
    for size, rows, sentences in ((4, 4, []), (8, 6, ["theft: 3 of 4", "violence: 3 of 4"])):
        quotas = {"size": size, "shares": {"category": ["theft", "violence"]}}
        report = generate(made(seeds, server.url, steps, quotas=quotas), tmp_path / "out")
        assert sum(report.steps[0].filtered.values()) == 3  # those of the longest seed
        assert report.steps[1].took == 6
        assert len(server.calls) == 3 + 6
        assert report.rows == rows
        assert [sentence.partition(" rows")[0] for sentence in report.short] == sentences
        assert report.outside_quotas == 6 - rows


def test_the_rows_are_a_source_for_mixing(model: Model, seeds: Path, tmp_path: Path) -> None:
    """Conversations, prompts and pairs are read without a mapping of columns."""
    server = model()
    for steps, form in (
        ([{"rephrase": 1}], "prompts"),
        ([{"answer": "helpful"}], "conversations"),
        ([{"answer": "helpful"}, {"contrast": "unhelpful"}], "preferences"),
    ):
        out = tmp_path / form
        generate(made(seeds, server.url, steps), out)
        source = {"files": str(out / ROWS)}
        mixed = MixSpec.model_validate(
            {"size": 3, "shares": {"ours": 1}, "sources": {"ours": source}, "form": form}
        )
        assert mix(mixed, tmp_path / f"mix-{form}").rows == 3
