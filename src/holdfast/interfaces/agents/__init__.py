"""What agents and services call: an agent's checks and results, and beats."""
