"""mixmerge: should I mix my training data, or train apart and merge the models?"""

__version__ = "0.1.0"
