"""The rows that the parts of mixmerge exchange on disk, one documented class each."""

from mixmerge.records.judge import Item, Judge, Question
from mixmerge.records.model_folder import ModelFolder, weight_map
from mixmerge.records.results import Results
from mixmerge.records.rows import (
    MISSING,
    WORTH,
    Axis,
    Conversation,
    LabelledCompletion,
    Message,
    Outcome,
    PreferencePair,
    Prompt,
    Response,
    RowModel,
    TrainingPrompt,
    Translated,
    Verdict,
    by_prompt,
    contrasted,
    score_of,
)

__all__ = [
    "MISSING",
    "WORTH",
    "Axis",
    "Conversation",
    "Item",
    "Judge",
    "LabelledCompletion",
    "Message",
    "ModelFolder",
    "Outcome",
    "PreferencePair",
    "Prompt",
    "Question",
    "Response",
    "Results",
    "RowModel",
    "TrainingPrompt",
    "Translated",
    "Verdict",
    "by_prompt",
    "contrasted",
    "score_of",
    "weight_map",
]
