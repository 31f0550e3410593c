"""Pure nouns and rules of the dispatcher. Standard library and fanmesh.model only."""
