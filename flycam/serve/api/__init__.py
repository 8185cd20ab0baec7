"""The situation as a command room sees it and writes it down: board, marks, changes, things, meeting."""
