"""What a merge will do: one row for each tensor of the output, decided before a weight is read."""
