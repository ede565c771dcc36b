"""What is remembered between runs, to be quick. Losing any of it changes no answer."""
