"""Commands, by topic. Each opens the data folder, calls one pipeline and prints the result.

A command imports its pipeline when it runs, not before: help, completion and usage errors come at once, and
no command waits for libraries that only another needs (scipy for `finish`, typst for `report`, FastAPI for
`serve`).
"""
