"""Where a classifier finds evidence: heat maps, whether they can be believed, and how they are shown."""
