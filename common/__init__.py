"""What every part of the house shares: contracts, settings, errors, and the adapters behind the ports."""
