"""The state of project and machine, for people and as data: graph, list, doctor."""
