"""Captions: a picture in, a sentence out. Runs where a pack with a captioner is installed."""
