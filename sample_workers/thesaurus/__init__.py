"""A gRPC service with a proto of its own that has never heard of Fanmesh: generated stubs, server reflection, nothing else.

It knows the clinical synonyms of the corpus, which no search engine of the scenario indexes: a reason to ask it too.
"""
