"""Live pictures: cameras and streams that are looked at as fast as the pools answer, never faster and never later.

`facepipe live` reads a source with this package; `python -m workers.live` is the process that holds WebRTC peers.
"""
