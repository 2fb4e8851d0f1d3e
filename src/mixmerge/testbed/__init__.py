"""The testbed: a tiny multilingual base model with data and an exact judge."""

LANGUAGES = ("en", "hi", "fr", "es", "ar", "ru")
"""The six languages of the testbed; every item exists in all of them."""

FURTHER = ("tr", "fi", "zh", "sw")
"""Further languages, for questions about language families. The shipped base model knows none of
them; ``python -m tools.testbed.pretrain OUT --wide`` makes one that does."""

__all__ = ["FURTHER", "LANGUAGES"]
