"""Recovery: what is done in a disaster, step by step, by machines and people, and the proof that it was."""
