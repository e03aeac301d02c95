"""Names in the DNS, changed by RFC 2136."""
