"""A classifier as files for other applications: one graph from photograph to reasons, checked, timed, and described."""
