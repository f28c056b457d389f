"""Predecessor 001: gnosis-recognizer-service, which encodes, detects and recognises faces of uploaded pictures."""
