"""Answers of commands: one object for programs, and lines for people."""
