"""The plan of a merge: one row per output tensor, made before any weight is read."""
