"""Evaluation: prompts, generation, judges and verdicts, and the results of a study.

A model answers every prompt of three axes: ``general`` (its answers are compared with the base
model's), ``safety`` (are its answers to harmful requests harmful?) and ``over_refusal`` (does it
refuse harmless requests?). Judges turn answers into verdicts, and verdicts become rates with
intervals in ``results.json``. What a study file mentions is exported here.
"""

from mixmerge.evaluation.spec import (
    AxisSpec,
    DecodingSpec,
    EvaluateJob,
    EvaluateSpec,
    JobModel,
    JudgeSpec,
    PlacementSpec,
    PromptSetSpec,
)

__all__ = [
    "AxisSpec",
    "DecodingSpec",
    "EvaluateJob",
    "EvaluateSpec",
    "JobModel",
    "JudgeSpec",
    "PlacementSpec",
    "PromptSetSpec",
]
