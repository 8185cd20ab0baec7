"""A card's files on their way: sent, received, looked at, kept, laid."""
