"""What a model is trained on and asked with: tokenizer, chat template, end of turn, thoughts.

One place for training, evaluation and judges, so that a model is asked what it was trained on.
"""
