"""The commands of recovery: runs and playbooks, and the scenarios that people start."""
