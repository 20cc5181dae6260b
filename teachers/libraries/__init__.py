"""Models of libraries as teachers."""
