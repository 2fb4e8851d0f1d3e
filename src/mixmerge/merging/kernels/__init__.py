"""The arithmetic of merging: pure functions of flat float32 arrays and plain numbers.

No kernel knows a name, a file or a recipe. Each works on a tile, a piece of a tensor that fits the
processor's cache, given as contiguous arrays: ``(count,)`` for one tensor, ``(models, count)`` for
several. Elementwise work is float32, sums over elements are float64 in an order that depends on
the tile alone, so that no result depends on threads or on the width of a vector register.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
"""Elements of a tensor, or of several."""
