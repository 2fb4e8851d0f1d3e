"""Published prompt sets by name, each read from the format in which its authors publish it.

A set comes from the hub, or from a folder with a copy of the same files. Every reader knows what
joins the languages, which words are a translator's, and what the set's own traps are.
"""
