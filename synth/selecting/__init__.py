"""Which candidates are kept: scores, copies, rules, and the audit of what they did."""
