"""What verdicts come to: pure functions of scores, labels and groups, each with how sure it is."""
