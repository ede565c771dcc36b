"""lock.toml: its values, its text, what differs between two, and merging."""
