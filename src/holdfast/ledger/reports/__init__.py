"""Reports: sums that are folded out of the log, can be made anew from it, and are read in no time."""
