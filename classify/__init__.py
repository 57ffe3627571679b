"""Classifiers trained with and without synthetic images, and what the difference is worth."""
