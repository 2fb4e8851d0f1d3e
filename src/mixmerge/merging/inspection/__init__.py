"""What models hold and how they differ, measured without merging them."""
