"""Access: accounts, guests, tokens, sign-in services, access policy, audit log."""
