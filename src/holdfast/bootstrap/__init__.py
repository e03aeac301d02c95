"""Settings, wiring and the processes of each role: the one place that knows every room of the house."""
