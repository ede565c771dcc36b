"""lock.toml: its values, its text, the differences between two, and merging."""
