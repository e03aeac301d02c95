"""Fakes that obey the same contract tests as the real adapters."""
