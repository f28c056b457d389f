"""The demo: a video made on the spot from photographs that installed packages carry, and who appears in it."""
