"""The study file: joins the parts into steps, runs them, and gathers what they found."""
