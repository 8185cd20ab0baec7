"""Who comes in: accounts, guests, tokens, codes, the province's own sign-in."""
