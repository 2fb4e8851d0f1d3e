"""People's labels: draw what to label, show it blind in a browser, and read the labels back."""
