"""Argilla 2: records as ``Dataset.records.to_json`` and ``Record.from_dict`` have them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mixmerge.annotation.exchange.format import ExchangeFormat, label
from mixmerge.annotation.task import KeyItem, asked, choices
from mixmerge.records import Axis, Question


def _records(items: Sequence[KeyItem], questions: Mapping[Axis, Question]) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{item.annotator}-{item.id}",
            "fields": {
                "question": asked(questions[item.axis]),
                **dict(zip(("message", "answer_a", "answer_b"), item.texts, strict=False)),
            },
            "metadata": {"annotator": item.annotator, "item": item.id, "shown": item.shown},
            "suggestions": {},
            "responses": {},
            "vectors": {},
        }
        for item in items
    ]


def _settings(questions: Mapping[Axis, Question]) -> dict[str, str]:
    labels = {key: words for each in questions.values() for key, words in choices(each).items()}
    fields = ["question", "message", "answer_a", "answer_b"]
    plan = {
        "fields": [{"name": name, "required": name != "answer_b"} for name in fields],
        "questions": [
            {"name": "choice", "type": "label_selection", "labels": labels},
            {"name": "reason", "type": "text", "required": False},
        ],
        "metadata": ["annotator", "item", "shown"],
    }
    return {"settings.json": json.dumps(plan, ensure_ascii=False, indent=2) + "\n"}


def _recognises(value: list[Any]) -> bool:
    return all(
        isinstance(row, dict) and {"fields", "responses", "metadata"} <= row.keys() for row in value
    )


def _labels(value: Any) -> list[dict[str, Any]]:
    rows = []
    for place, record in enumerate(value):
        said = record["responses"] or {}
        reasons = {each["user_id"]: each["value"] for each in said.get("reason") or ()}
        rows += [
            label(
                record["metadata"], each["value"], str(each["user_id"]), place,
                reason=reasons.get(each["user_id"], ""),
            )
            for each in said.get("choice") or ()
        ]  # fmt: skip
    return rows


FORMAT = ExchangeFormat(_records, _settings, _recognises, _labels)
