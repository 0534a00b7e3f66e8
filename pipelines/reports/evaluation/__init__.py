"""What evaluation knows, for its pages: the sets and their cases, labels and fields, judges."""
