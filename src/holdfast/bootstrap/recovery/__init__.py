"""Recovery, wired: its commands, its process, and the actions of its playbooks."""
