"""Staff pages: urls, forms, and one view module per page."""
