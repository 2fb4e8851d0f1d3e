"""Label Studio: tasks with ``data``, and ``annotations`` with the results of a `Choices` tag."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mixmerge.annotation.exchange.format import ExchangeFormat, label
from mixmerge.annotation.task import Choice, KeyItem, asked, choices
from mixmerge.records import Axis, Question

_CONFIG = """<View>
  <Header value="$question"/>
  <Text name="message" value="$message"/>
  <Header value="A"/>
  <Text name="answer_a" value="$answer_a"/>
  <Header value="B (comparisons only)"/>
  <Text name="answer_b" value="$answer_b"/>
  <Choices name="choice" toName="message" choice="single" required="true" value="$choices"/>
  <TextArea name="reason" toName="message" placeholder="Why can it not be judged?"/>
</View>
"""
"""The choices are those of each task's question."""


def _records(items: Sequence[KeyItem], questions: Mapping[Axis, Question]) -> list[dict[str, Any]]:
    records = []
    for item in items:
        words = choices(questions[item.axis])
        texts = dict(zip(("message", "answer_a", "answer_b"), [*item.texts, ""], strict=False))
        about = {"annotator": item.annotator, "item": item.id, "shown": item.shown}
        options = [{"value": each} for each in words.values()]
        shown = {"question": asked(questions[item.axis]), "choices": options}
        records.append({"data": {**shown, **texts, **about}})
    return records


def _recognises(value: list[Any]) -> bool:
    return all(isinstance(row, dict) and {"data", "annotations"} <= row.keys() for row in value)


def _labels(value: Any) -> list[dict[str, Any]]:
    return [
        label(
            task["data"],
            _choice(words),
            str(each.get("completed_by")),
            place,
            each.get("updated_at") or each.get("created_at"),
            seconds=each.get("lead_time"),
            reason=" ".join(_results(each, "reason", "text")),
        )
        for place, task in enumerate(value)
        for each in task["annotations"]
        if not each.get("was_cancelled")
        for words in _results(each, "choice", "choices")
    ]


def _results(annotation: Mapping[str, Any], name: str, kind: str) -> Iterator[str]:
    for result in annotation["result"]:
        if result["from_name"] == name:
            yield from result["value"][kind]


def _choice(words: str) -> Choice:
    """Return the choice of some words; each begins with its own letters."""
    first = words.split(",", maxsplit=1)[0].split(maxsplit=1)[0].lower()
    known: dict[str, Choice] = {"a": "a", "b": "b", "equal": "tie", "yes": "yes", "no": "no"}
    return known.get(first, "cannot")


FORMAT = ExchangeFormat(_records, lambda _: {"config.xml": _CONFIG}, _recognises, _labels)
