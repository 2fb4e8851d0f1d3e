"""The makers of the testbed: its facts, its corpus, its tokenizer and its base model."""
