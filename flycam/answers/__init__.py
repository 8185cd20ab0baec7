"""What each command answers: one object for programs, and lines for people."""
