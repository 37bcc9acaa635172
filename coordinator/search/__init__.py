"""The search itself: islands, optimizers, migration, archives."""
