"""One fit: its images and their mixture, its settings, its loop, and the folder that it leaves."""
