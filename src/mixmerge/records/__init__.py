"""The rows that the parts of mixmerge exchange on disk, one documented class each."""

from mixmerge.records.conversation import Conversation, Message, PreferencePair
from mixmerge.records.judge import Item, Judge, Question
from mixmerge.records.model_folder import ModelFolder, weight_map
from mixmerge.records.prompt import Prompt, Response, Translated
from mixmerge.records.results import Results
from mixmerge.records.verdict import MISSING, Axis, Outcome, Verdict

__all__ = [
    "MISSING",
    "Axis",
    "Conversation",
    "Item",
    "Judge",
    "Message",
    "ModelFolder",
    "Outcome",
    "PreferencePair",
    "Prompt",
    "Question",
    "Response",
    "Results",
    "Translated",
    "Verdict",
    "weight_map",
]
