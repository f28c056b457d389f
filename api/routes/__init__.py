"""The views, by what they are about; each a few lines between the request and a store."""
