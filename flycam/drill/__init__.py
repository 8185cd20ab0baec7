"""A synthetic mountain, its storm, and an aircraft over it, with ground truth."""
