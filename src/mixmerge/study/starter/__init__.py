"""A first study, written from what is there: models, data files, and the machine."""
