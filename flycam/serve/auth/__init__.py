"""Who asks: accounts, guests, sessions, tokens, scopes, and what each may reach."""
