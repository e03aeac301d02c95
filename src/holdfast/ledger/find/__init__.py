"""Finding: jobs by what is known of them, everything about one of them, and who has read it."""
