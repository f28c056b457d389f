"""`make bench-gallery`: how long an exact search takes, and whether it finds everybody."""
