"""A task of inspect_ai: the currency of a country, in the model's own words."""

from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import json_dataset
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

DATA = Path(__file__).with_name("currencies.jsonl")


@task
def currencies() -> Task:
    """Ask for each currency and look for its name in the answer."""
    return Task(dataset=json_dataset(str(DATA)), solver=generate(), scorer=includes(), version=1)
