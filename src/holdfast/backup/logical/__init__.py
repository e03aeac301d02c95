"""The logical tier: dumps, where a server allows nothing else."""
