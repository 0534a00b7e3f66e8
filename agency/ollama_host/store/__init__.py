"""What the host keeps on disk: names, content-addressed blobs, manifests, and what a GGUF header says."""
