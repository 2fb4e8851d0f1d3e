"""Statistics of evaluations: arrays in, estimates out, no files and no global state.

Everything resamples or permutes *clusters* (one source question with all its translations and both
orders of a comparison), because the rows of a cluster are not independent. Randomness comes from a
`numpy.random.Generator` argument. Formulas and limits are in ``docs/statistics.md``.
"""
