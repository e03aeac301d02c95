"""Publishing: checkpoints that are in two regions and cosigned, and what proves an entry by them."""
