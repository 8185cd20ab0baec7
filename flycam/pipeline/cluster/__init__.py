"""Work over several processes or machines."""
