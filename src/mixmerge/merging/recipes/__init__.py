"""What to merge and how: recipes in mergekit's form and in ours, as text and as objects."""
