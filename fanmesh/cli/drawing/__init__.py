"""The graph of a plan, from what Explain says of it: who waits for whom, as text, as Mermaid and as SVG.

Pure: an ExplainResponse in, text out, so that the picture is a test of Explain: what cannot be drawn from its answer, no tool
of another language can draw either.
"""
