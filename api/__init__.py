"""The HTTP API: parse, call, render. Never imports the workers, nor anything that knows pixels or models."""
