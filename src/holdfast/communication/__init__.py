"""What the service tells its readers: incidents, maintenance, subscriptions, messages."""
