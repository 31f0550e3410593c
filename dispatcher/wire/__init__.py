"""Protobuf and network edges; everything that is not a value crosses here."""
