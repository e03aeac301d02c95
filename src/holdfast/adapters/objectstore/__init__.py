"""Object stores: local folders, S3, Azure Blob, Google Cloud Storage."""
