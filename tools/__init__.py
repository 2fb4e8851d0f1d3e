"""What makes the data that ship with mixmerge; nobody needs it to use them."""
