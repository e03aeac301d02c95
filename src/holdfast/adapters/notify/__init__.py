"""Sending to operators' channels through Apprise. No part of a channel's URL ever leaves this package."""
