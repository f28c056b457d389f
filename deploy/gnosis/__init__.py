"""The programs of predecessor 001 (gnosis-recognizer-service) for the command line, by the flags that they had.

They ask a running stack, or load the model pack themselves where none runs. `facepipe compat NAME` starts them.
"""
