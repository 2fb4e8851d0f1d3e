"""Statistics of evaluations: arrays in, estimates out, no files and no global state.

Everything resamples or permutes *clusters* (one source question with all its translations and
both orders of a comparison), because the rows of a cluster are not independent. Randomness enters
as a `numpy.random.Generator`. The formulas and the limits are in ``docs/statistics.md``.
"""
