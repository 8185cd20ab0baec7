"""Access: accounts, guests, tokens, sign-in codes, and OpenID Connect."""
