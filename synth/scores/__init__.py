"""How near generated images are to photographs, in which features, and how sure that is."""
