"""The two-region lab: regions A and B and the witness site W on one machine, out of real parts."""
