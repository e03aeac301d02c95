"""The whole public site as plain files: for any web server, any folder of it, a bucket, or a disk."""
