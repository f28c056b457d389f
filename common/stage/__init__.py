"""The glue that every pool shares: leases, errors, and passing work on."""
