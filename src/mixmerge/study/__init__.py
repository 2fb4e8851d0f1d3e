"""The study file: turns it into steps, runs them, and collects their results."""
