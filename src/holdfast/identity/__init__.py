"""Who may do what: accounts, sessions, second factors, tokens, roles."""
