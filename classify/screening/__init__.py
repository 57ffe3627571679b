"""A page and an interface that judge one photograph at a time, and say how sure that is, or that they cannot."""
