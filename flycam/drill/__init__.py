"""A synthetic mountain, its storm, and an aircraft over it; the truth is included."""
