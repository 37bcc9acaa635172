"""What a user asks for, as checked tables."""
