"""What changed between two dates: compared, kept for review, decided on, measured against what it touches."""
