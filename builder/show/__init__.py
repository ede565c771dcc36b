"""What is, told to people and as data: graph, list, doctor."""
