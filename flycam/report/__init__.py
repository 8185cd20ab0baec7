"""The quality report of a finished revision: what it says, in two languages, and how it looks."""
