"""A search of settings on the training part of a fold: what is asked, which points there are, and what it leaves."""
