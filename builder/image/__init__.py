"""From outputs to an image: layers, contract, OCI layout."""
