"""The calls that a run would make to generate data, and their price."""

from collections.abc import Sequence
from pathlib import Path

from mixmerge.errors import UserError
from mixmerge.evaluation.endpoint_spec import EndpointSpec
from mixmerge.execution.plan import Planned
from mixmerge.hub import local_folder
from mixmerge.spec_model import parts
from mixmerge.study.data_sources import GeneratedSource
from mixmerge.study.judge_calls import Calls
from mixmerge.study.spec import Study
from mixmerge.study.steps.generate_data import GenerateData, work_folder
from mixmerge.synthesis.spec import GenerateDataSpec
from mixmerge.testbed.judge import RuleJudge


def generation_calls(study: Study, todo: Sequence[Planned], cache: Path) -> Calls:
    """Count the calls of pending sources, with an upper bound on their price.

    Replies that an earlier run has in ``cache`` are not counted. Reads the seeds, if they are on
    this machine.
    """
    found = Calls([], 0, 0.0, [])
    for item in todo:
        source = study.data.get(item.step.name)
        if item.step.kind == GenerateData.kind and isinstance(source, GeneratedSource):
            found += _calls(source.generate, work_folder(cache, item.step.name))
    return found if found.models else Calls([], 0, None, [])


def _calls(spec: GenerateDataSpec, folder: Path) -> Calls:
    from mixmerge.synthesis.engine import plan

    endpoints = [own for _, own in parts(spec) if isinstance(own, EndpointSpec)]
    models = list(dict.fromkeys(own.model for own in endpoints))
    unpriced = list(dict.fromkeys(own.model for own in endpoints if own.price is None))
    away = [own for own in spec.seeds.values() if own.hub and not local_folder(own.hub).is_dir()]
    try:
        report = None if away else plan(spec, folder, rule_judges={"testbed": RuleJudge()})
    except UserError:  # a seed file that does not exist is a finding of its own
        report = None
    if report is None:
        return Calls(models, None, None, unpriced)
    return Calls(models, report.calls, None if unpriced else report.dollars or 0.0, unpriced)
