"""Words every room shares: windows of time, the clock, errors, names, the journal. Standard library only."""
