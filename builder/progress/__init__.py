"""What a person is told while a command works."""
