"""The judge on trial: its verdicts against labels, probes with known outcomes, corrected rates."""
