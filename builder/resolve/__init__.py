"""From recipes to the lock: versions are chosen, pins are kept."""
