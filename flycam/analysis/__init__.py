"""Before and after: two pictures of one ground laid on each other, and what changed between them."""
