"""Objects and their outlines in a picture. Runs where a pack with a segmenter is installed."""
