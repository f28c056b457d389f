"""Predecessor 000: the servers of tae898 that give frames of a video, and faces of a picture, as jsonpickle text."""
