"""Networks opened for use, seeds, and the pictures that they draw."""
