"""Evaluation: prompts, answers, judges and verdicts, and the results of a study.

A model answers the prompts of every axis that a study names. Judges turn answers into verdicts,
and the measure of the axis turns verdicts into a number with its interval in ``results.json``.
"""
