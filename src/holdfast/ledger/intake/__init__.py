"""What sources post: read, checked and made canonical, record by record."""
