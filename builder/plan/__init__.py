"""From the lock to derivations: keys, and what must be built."""
