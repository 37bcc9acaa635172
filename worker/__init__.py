"""One batch in, scores out. Thin: it composes the services and knows nothing of islands."""
