"""One question to three search engines at once, and to three shards of one: who is right is for the ranks to decide.

The corpus is the Human Phenotype Ontology: 16,449 findings in human disease, each with a name and a definition written by
clinicians. Its terms for laypeople are kept out of every index. They are the questions of the evaluation: what somebody would
type who does not know the clinical name, with the one right answer beside it.
"""
