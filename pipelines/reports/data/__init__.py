"""What people look at about data: files before they are imported, uploads, sources, datasets."""
