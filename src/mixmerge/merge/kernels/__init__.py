"""The arithmetic of merging: pure functions of float32 arrays and plain numbers.

No kernel knows a name, a file or a recipe. Elementwise work is float32, sums over elements are
float64, and nothing here depends on how many threads run.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
"""A tensor of any shape with at least one dimension."""
