"""The folder that a merge makes: files of weights, configuration, tokenizer and model card."""
