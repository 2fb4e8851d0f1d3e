"""Judges: each turns answers into verdicts behind the interface `mixmerge.records.Judge`."""
