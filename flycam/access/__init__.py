"""Access: accounts, guests, tokens, sign-in services, the access policy; audit log."""
