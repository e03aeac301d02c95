"""The ledger in memory, for tests and simulation. Everything ends with the process."""
