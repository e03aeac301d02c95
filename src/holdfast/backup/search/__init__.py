"""The last good point: commits are read from WAL, and a copy is led up to the last good one."""
