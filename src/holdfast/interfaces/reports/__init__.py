"""Historical reports: one value, written as a page, a PDF, a CSV file or JSON."""
