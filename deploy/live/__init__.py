"""`facepipe live`: who is in front of a camera now."""
