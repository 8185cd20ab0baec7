"""The commands, by what they are about. Each opens the house, calls one recipe, and says what came of it.

A command imports its recipe when it runs, not before: help, completion and a usage error come at once, and
no command waits for libraries that only another needs (scipy for `finish`, typst for `report`, FastAPI for
`serve`).
"""
