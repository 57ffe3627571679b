"""What becomes a cohort: photographs in folders or as SCIN publishes them, their table, and what is told of them."""
