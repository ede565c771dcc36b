"""Progress for the user while a command works."""
