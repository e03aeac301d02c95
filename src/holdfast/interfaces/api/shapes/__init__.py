"""What the API's requests and answers look like."""
