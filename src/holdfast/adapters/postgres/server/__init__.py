"""The database server itself: a private one that Holdfast starts, owns and finds again, or the operator's."""
