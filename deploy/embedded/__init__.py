"""Real servers from Python wheels: PostgreSQL with pgvector, and Redis, as children of whoever starts them."""
