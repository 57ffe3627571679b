"""The cells of Table 2 as a study: what is asked, what is refused, and who does which cell."""
