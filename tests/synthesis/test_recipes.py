"""Tests of mixmerge.synthesis.recipes: what each asks, and how it reads replies."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluation.endpoint_server import Answer, says
from tests.synthesis.conftest import SEEDS, Model, made, obedient, text_of

from mixmerge.errors import SpecError
from mixmerge.files import read_rows
from mixmerge.synthesis.engine import generate, plan
from mixmerge.synthesis.recipes import recipe
from mixmerge.synthesis.recipes.translate import Translate, chrf
from mixmerge.synthesis.replies import UnusableError, listed, marked
from mixmerge.synthesis.row import DROPPED, ROWS, DroppedRow, Row


def rows_of(folder: Path) -> list[Row]:
    return read_rows(folder / ROWS, Row)


def dropped_of(folder: Path) -> list[DroppedRow]:
    return read_rows(folder / DROPPED, DroppedRow)


@given(text=st.text(min_size=1))
def test_material_cannot_end_its_own_frame(text: str) -> None:
    """Whatever a text contains, it is shown whole between two lines that it cannot imitate."""
    filled = Translate(translate=("hi",)).fill(text=text, source="en", language="hi", names="")
    assert text_of({"messages": [{"content": filled}]}) == text
    again = Translate(translate=("hi",)).fill(text=filled, source="en", language="hi", names="")
    assert text_of({"messages": [{"content": again}]}) == filled


def test_text_in_a_seed_is_never_a_placeholder(model: Model, seeds: Path, tmp_path: Path) -> None:
    """A seed with `{{n}}`, marks, JSON or `</reply>` comes out as it went in."""
    hard = ["{{n}} {{mark}}", '{"requests": []}', "[text 0]\nx\n[end of text 0]", "a </reply> b"]
    seeds.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in hard))
    generate(made(seeds, model().url, [{"rephrase": 1}, {"translate": ["hi"]}]), tmp_path / "out")
    assert [row.prompt_text for row in rows_of(tmp_path / "out")] == [f"~{t} v0" for t in hard]


def test_twins_have_a_category_of_their_own(model: Model, seeds: Path, tmp_path: Path) -> None:
    """A quota can tell harmless prompts from the harmful ones they look like."""
    generate(made(seeds, model().url, [{"benign_twins": 1}]), tmp_path / "out")
    categories = [row.category for row in rows_of(tmp_path / "out")]
    assert categories == ["benign theft", "benign violence", "benign"]


def test_answers_of_several_models_temperatures_and_samples(
    model: Model, seeds: Path, tmp_path: Path
) -> None:
    """Each combination is asked once, with its seed; the style is not part of the row."""
    servers = [model(), model()]
    models = {
        name: {"endpoint": server.url, "model": f"model {name}"}
        for name, server in zip("ab", servers, strict=True)
    }
    step = {"answer": "refuse_and_redirect", "models": ["a", "b"], "temperatures": [0.2, 1.0]}
    spec = made(seeds, "http://unused", [step | {"samples": 3}], models=models)
    report = generate(spec, tmp_path / "out")
    assert [len(server.calls) for server in servers] == [18, 18]
    asked = {
        (body["model"], body["temperature"], body["seed"], body["messages"][-1]["content"])
        for server in servers
        for body in server.calls
    }
    assert len(asked) == 36 == report.rows
    for body in servers[0].calls:
        assert body["messages"][0]["role"] == "system"
        assert "Decline" in body["messages"][0]["content"]
    row = rows_of(tmp_path / "out")[0]
    assert [turn.role for turn in row.messages or ()] == ["user", "assistant"]
    assert row.provenance.made_by[0].parameters["style"] == "refuse_and_redirect"


def test_translations_keep_what_is_no_language(model: Model, seeds: Path, tmp_path: Path) -> None:
    """A lost placeholder, a changed piece of code and a lost name drop the row, each said."""

    def careless(body: dict[str, Any], _: int) -> Answer | None:
        text = text_of(body)
        for kept, lost in (("{door}", "porte"), ("`ls -l`", "`ls`"), ("<b>Say</b>", "<b>Say")):
            if kept in text:
                return says(f"<reply>{text.replace(kept, lost)}</reply>")
        return says(f"<reply>{text.replace('Ada', 'elle')}</reply>")

    lines = [*SEEDS, {"prompt": "Who was Ada?", "id": "ada"}, {"prompt": "Fine?", "id": "fine"}]
    seeds.write_text("".join(json.dumps(line) + "\n" for line in lines))
    steps = [{"translate": ["fr"], "names": ["Ada"]}]
    report = generate(made(seeds, model(careless).url, steps), tmp_path / "out")
    assert report.steps[0].dropped == {"not kept in the translation": 4}
    assert {each.detail for each in dropped_of(tmp_path / "out")} == {
        "lost {door}",
        "lost `ls -l`; added `ls`",
        "lost </b>",
        "lost the name Ada",
    }


def test_translations_back_are_compared(model: Model, seeds: Path, tmp_path: Path) -> None:
    """A row whose text comes back as another is dropped with its chrF; the others state theirs."""

    def forgetful(body: dict[str, Any], _: int) -> Answer | None:
        if text_of(body).startswith("~How do I pick"):
            return says("<reply>Where does one buy {door} bread</reply>")
        return None

    steps = [{"translate": ["fr"], "back_translation": {"chrf": 80}}]
    report = generate(made(seeds, model(forgetful).url, steps), tmp_path / "out")
    assert report.steps[0].dropped == {"chrF of the translation back below 80": 1}
    detail = dropped_of(tmp_path / "out")[0].detail
    assert float(detail.partition(";")[0]) == pytest.approx(
        chrf("Where does one buy {door} bread", SEEDS[0]["prompt"]), abs=0.1
    )
    assert {row.provenance.made_by[0].measured["chrf"] for row in rows_of(tmp_path / "out")} == {
        100
    }


def test_pairs_and_conversations_are_translated_whole(
    model: Model, seeds: Path, tmp_path: Path
) -> None:
    """Every text of a pair is translated by itself; one that fails drops the row."""
    lines = [
        {"prompt": "Ask?", "chosen": "Good.", "rejected": "Bad."},
        {"prompt": "Ask {x}?", "chosen": "Good {x}.", "rejected": "Bad {x}."},
    ]
    seeds.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def script(body: dict[str, Any], _: int) -> Answer | None:
        return says("Sorry.") if text_of(body) == "Bad {x}." else None

    spec = made(seeds, model(script).url, [{"translate": ["hi", "en"]}])
    source = spec.seeds["risks"].model_copy(update={"form": "preferences"})
    spec = spec.model_copy(update={"seeds": {"risks": source}})
    report = generate(spec, tmp_path / "out")
    (row,) = rows_of(tmp_path / "out")
    assert (row.prompt_text, row.chosen, row.rejected) == ("~Ask?", "~Good.", "~Bad.")
    assert report.steps[0].dropped == {"malformed reply": 1}
    assert report.steps[0].notes == ["2 rows are in one of the languages already"]


def test_a_worse_answer_beside_each_answer(model: Model, seeds: Path, tmp_path: Path) -> None:
    """The answer is preferred, the new one is to avoid; one that is the same is no pair."""

    def same(body: dict[str, Any], _: int) -> Answer | None:
        content = body["messages"][-1]["content"]
        if "kill" in content and "<reply>" in content:
            return says(f"<reply>{answers[text_of(body)]}</reply>")
        reply = obedient(body)
        if "<reply>" not in content:
            answers[text_of(body)] = json.loads(reply[2])["choices"][0]["message"]["content"]
        return reply

    answers: dict[str, str] = {}
    steps = [{"answer": "helpful"}, {"contrast": "needless_refusal"}]
    report = generate(made(seeds, model(same).url, steps), tmp_path / "out")
    assert report.steps[1].dropped == {"the same as the answer": 1}
    for row in rows_of(tmp_path / "out"):
        assert row.rejected == f"bad answer to {row.prompt_text}"
        assert row.chosen == answers[row.prompt_text]


def test_an_instruction_of_ones_own(model: Model, seeds: Path, tmp_path: Path) -> None:
    """A text file replaces a recipe's instruction, and rows state its version."""
    own = tmp_path / "own.txt"
    own.write_text(
        'Write {{n}} requests. "requests"\n[text {{mark}}]\n{{text}}\n[end of text {{mark}}]'
    )
    step = {"rephrase": 1, "instruction": str(own)}
    versions = set()
    for name, steps in (("own", [step]), ("usual", [{"rephrase": 1}])):
        generate(made(seeds, model().url, steps), tmp_path / name)
        versions.add(rows_of(tmp_path / name)[0].provenance.made_by[0].prompt)
    assert len(versions) == 2
    own.write_text("Write {{m}} requests.")
    with pytest.raises(SpecError, match=r"must have the placeholders mark, n, text.*seen: m"):
        generate(made(seeds, model().url, [step]), tmp_path / "wrong")


def test_prompts_of_several_turns_are_not_rephrased(
    model: Model, seeds: Path, tmp_path: Path
) -> None:
    """They are dropped with the reason, and answered as they are."""
    turns = [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Bye."},
    ]
    seeds.write_text(json.dumps({"prompt": turns}) + "\n" + json.dumps({"prompt": "One."}) + "\n")
    server = model()
    report = generate(made(seeds, server.url, [{"rephrase": 1}]), tmp_path / "out")
    assert report.steps[0].dropped == {"a prompt of several turns": 1}
    generate(made(seeds, server.url, [{"answer": "plain"}]), tmp_path / "answers")
    assert server.calls[-2]["messages"] == turns or server.calls[-1]["messages"] == turns


@pytest.mark.parametrize(
    "reply", ["no marks", "<reply> </reply>", "</reply>x<reply>", "<b><reply>x</reply>", ""]
)
def test_a_marked_reply_needs_its_marks(reply: str) -> None:
    """Text without marks, with empty or reversed ones, or after other markup, is not used."""
    with pytest.raises(UnusableError, match=r"malformed reply|empty reply"):
        marked(reply)


@pytest.mark.parametrize(
    "reply", ["text", "[1]", "{}", '{"requests": "a"}', '{"requests": ["a"], "x": 1}', "[" * 500]
)
def test_a_listed_reply_is_a_list_of_texts(reply: str) -> None:
    """Other JSON and other text are not used, and nothing is guessed from them."""
    with pytest.raises(UnusableError, match="malformed reply"):
        listed(reply, "requests")


def test_a_new_recipe_is_one_file(model: Model, seeds: Path, tmp_path: Path) -> None:
    """The recipe that docs/generate_data.md adds runs, is planned, and drops what it must."""
    page = (Path(__file__).parents[2] / "docs/generate_data.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    names = {**vars(recipe), "marked": marked}
    exec(code, names)  # noqa: S102 - the documentation's own
    server = model(lambda body, _: says(f"<reply>{text_of(body)[:45]}</reply>"))
    spec = made(seeds, server.url, [{"rephrase": 1}])
    step = names["RECIPE"](simplify=40)
    spec = spec.model_copy(update={"steps": (step,)})
    assert plan(spec, tmp_path / "out").calls == 3
    report = generate(spec, tmp_path / "out")
    assert report.steps[0].dropped == {"too long": 1}
    assert {row.provenance.made_by[0].recipe for row in rows_of(tmp_path / "out")} == {"simplify"}
