"""Who may do what: secrets, passwords, sessions and tokens, without HTTP."""
