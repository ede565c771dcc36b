"""One module a verb, imported when it is asked for. Each has `run(options)`, which gives the exit code."""
