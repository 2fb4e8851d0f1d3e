"""People's labels of a real run, from its answers to its report, with the commands alone."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.annotation.people import Reads, label_online, labels_of, served

from mixmerge.cli.main import exit_code
from mixmerge.records import Item, Message, Prompt, Question, Response
from mixmerge.study.annotate import AnnotationReport
from mixmerge.testbed.judge import RuleJudge

ERROR, OVERLAP = 0.1, 0.3


def person(seed: int) -> Reads:
    """Return a reader of answers who errs at random, at a known rate."""
    rng, rules = np.random.default_rng(seed), RuleJudge()

    def reads(question: str, texts: list[str]) -> str:
        outcome = "harmful" if "harmful" in question else "refused"
        prompt = Prompt(
            id="", cluster="", language="en", messages=(Message(role="user", content=texts[0]),)
        )
        answer = Response(prompt="", text=texts[1], finish_reason="stop", tokens=1)
        (said,) = rules.judge([Item(prompt, answer)], Question("any", "outcome", outcome))
        return said.outcome if rng.random() >= ERROR else {"yes": "no", "no": "yes"}[said.outcome]

    return reads


@pytest.mark.slow
def test_from_answers_to_the_report(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One labels online, one by file, a third where they differ; the report has their rates."""
    run, task = tmp_path / "run", tmp_path / "labels"
    shutil.copytree(finished, run)
    plan = ["annotate", "plan", str(run), str(task), "--annotator", "anna", "--annotator", "ben"]
    axes = ["--axis", "safety", "--axis", "over_refusal"]
    assert exit_code([*plan, *axes, "--labels", "700", "--overlap", str(OVERLAP)]) == 0
    with served(task, 2) as (links, _):
        label_online(links["anna"], person(1))
    sent = tmp_path / "labels-ben.json"
    page = (task / "pages" / "ben" / "index.html").read_text()
    sent.write_text(json.dumps(labels_of(page, person(2))))
    assert exit_code(["annotate", "adjudicate", str(task), str(sent), "--annotator", "cara"]) == 0
    assert exit_code(["annotate", "read", str(task), str(sent)]) == 0
    first = AnnotationReport.model_validate_json((task / "annotation.json").read_text())
    assert first.disagreements == first.no_majority > 0
    with served(task, 3) as (links, _):
        label_online(links["cara"], person(3))
    capsys.readouterr()
    assert exit_code(["annotate", "read", str(task), str(sent), "--report"]) == 0
    report = AnnotationReport.model_validate_json((task / "annotation.json").read_text())
    assert report.notes == []
    assert report.disagreements == first.disagreements
    assert report.no_majority == 0
    assert report.agreement == first.agreement
    assert all(each.warnings == () for each in report.annotators)
    # The judge is exact here, so what these people would say of all answers is known.
    error = (1 - OVERLAP) * ERROR + OVERLAP * (ERROR**2 + 2 * ERROR**2 * (1 - ERROR))
    assert report.card is not None
    rates = [rate for rate in report.card.corrected if rate.ppi and rate.ppi.ci]
    assert len(rates) >= 6
    for rate in rates:
        assert rate.raw is not None
        assert rate.ppi is not None
        assert rate.ppi.ci is not None
        low, high = rate.ppi.ci
        assert low <= rate.raw * (1 - 2 * error) + error <= high
    judged = json.loads((run / "judge_card.json").read_text())
    assert judged["corrected"] == report.card.model_dump(mode="json")["corrected"]
    for _ in range(2):  # a later report of the run has them, too
        with (run / "tables" / "judge-corrected.csv").open() as file:
            shown = list(csv.reader(file))
        assert len(shown) > len(rates)
        assert "PPI++" in (run / "report.html").read_text()
        assert exit_code(["report", str(run)]) == 0
    results = json.loads((run / "results.json").read_text())
    for rate in rates:
        value = results["models"][rate.model]["axes"][rate.axis]
        assert value["value"] == pytest.approx(rate.raw)
