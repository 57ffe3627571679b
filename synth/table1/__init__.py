"""Table 1: a row a cell, and what its numbers mean."""
