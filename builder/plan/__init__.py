"""From the lock to derivations: keys, and the list of builds."""
