"""The product through its command line: real sandboxes, real stores, real processes; each test in a world of its own."""
