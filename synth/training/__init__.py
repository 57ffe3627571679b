"""One training and a grid of them: options, starts, cells, runs and their folders."""
