"""Model packs on this machine: what there is, bringing one in, looking at one. `facepipe models` starts it.

A file is trusted by its SHA-256, and even then tried in a process of its own with little memory, before a pack takes
its place in one step. Whatever fails before that leaves the pack that was there.
"""
