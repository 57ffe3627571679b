"""Networks that are shipped with the package, with the script and the log that made each."""
