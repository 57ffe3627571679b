"""Records as Table 2: rows, figures, caveats, and the answer in plain words."""
