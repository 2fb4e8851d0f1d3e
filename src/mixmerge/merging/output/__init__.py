"""The output folder: weight files, configuration, tokenizer and model card."""
