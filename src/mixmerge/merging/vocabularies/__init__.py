"""One vocabulary out of several: which row of which embedding belongs to which token."""
