"""Where operators log in, and the pages that they work on."""
