"""Tokenizers, chat templates, end-of-turn tokens and reasoning blocks.

Training, evaluation and judges share this code, so that models are prompted as they were trained.
"""
