"""HAProxy, by its admin socket."""
