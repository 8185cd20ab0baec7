"""Authentication: accounts, guests, sessions, tokens, scopes and their reach."""
