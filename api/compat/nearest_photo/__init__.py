"""Predecessor 004: a service that names the photograph nearest to a face, its webcam client and its folder of files."""
