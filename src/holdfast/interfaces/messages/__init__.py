"""What subscribers read: mails, and the bodies that other channels get."""
