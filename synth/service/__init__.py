"""The service that gives partners synthetic images and never a photograph. Its own processes alone load torch."""
