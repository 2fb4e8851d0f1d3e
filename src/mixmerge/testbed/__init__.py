"""The embedded world: a tiny multilingual base model, its data, and an exact judge."""

LANGUAGES = ("en", "hi", "fr", "es", "ar", "ru")
"""The languages of the study that the testbed mirrors; every item exists in all six."""

__all__ = ["LANGUAGES"]
