"""The service that is protected, over HTTP: whether it answers, its replicas, and a user's write."""
