"""Make training data from seeds: prompts, translations, answers and preference pairs."""
