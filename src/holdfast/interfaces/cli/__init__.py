"""The command line: arguments in, words and JSON out. What a command does stands behind `Commands`."""
