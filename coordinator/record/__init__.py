"""A run's record in its store, and what is read from it."""
