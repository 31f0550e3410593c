"""Shared pure nouns: what dispatcher, aggregator, workers and clients must mean the same by.

Standard library only, nothing of ours outside this package: whoever imports a noun gets no machinery with it.
"""
