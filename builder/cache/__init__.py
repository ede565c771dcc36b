"""Results that are remembered between runs, to be quick. Losing any of them changes no answer."""
