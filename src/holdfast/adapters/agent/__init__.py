"""An agent's own things outside: its spool on disk, and its way to the controller."""
