"""The embedded world: a tiny multilingual base model, its data, and an exact judge."""

LANGUAGES = ("en", "hi", "fr", "es", "ar", "ru")
"""The languages of the study that the testbed mirrors; every item exists in all six."""

FURTHER = ("tr", "fi", "zh", "sw")
"""Languages of a wider world, for questions about families of languages. The base model that ships
knows none of them; ``python -m tools.testbed.pretrain OUT --wide`` makes one that does."""

__all__ = ["FURTHER", "LANGUAGES"]
