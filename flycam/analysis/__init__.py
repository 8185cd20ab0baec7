"""Before and after: coregistration of two dates of one ground, and detection of change between them."""
