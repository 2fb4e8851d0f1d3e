"""Write a first study from the user's models and data files, to fit the machine."""
