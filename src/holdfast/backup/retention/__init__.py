"""For how long copies are kept, who may cut that, and what is let go of."""
