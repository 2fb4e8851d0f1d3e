"""Evaluation: prompts, answers, judges and verdicts, and the results of a study.

Models answer the prompts of every axis of a study. Judges turn answers into verdicts, and the
measure of the axis turns verdicts into a number with an interval in ``results.json``.
"""
