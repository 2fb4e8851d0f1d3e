"""One vocabulary out of several: which row of which embedding stands for which token."""
