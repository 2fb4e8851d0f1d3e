"""The command line: one file per command, each a thin layer over the function of the same name."""
