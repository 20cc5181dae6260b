"""Models of libraries as students."""
