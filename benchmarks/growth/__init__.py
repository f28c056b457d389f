"""`make bench-growth`: how throughput grows or falls with what is asked, and a model that says why."""
