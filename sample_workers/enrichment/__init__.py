"""One contact in, seven opinions about it out: each worker asks one offline library, the plan merges what they say.

Every worker answers with `{its own name: its facts, "tags": [...]}` and, where its facts place the contact somewhere,
`"country"` (ISO 3166-1 alpha-2) beside them. Only that key and the tags are shared, on purpose: a deep merge then reports a
conflict exactly where two workers place the contact in different countries, and never because two of them have a field
called `valid`.
"""
