"""What the routes, the streams and the command line of predecessor 001 share: its data set of faces, and its vote."""
