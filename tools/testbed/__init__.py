"""Make the testbed: its facts, corpus, tokenizer and base model."""
