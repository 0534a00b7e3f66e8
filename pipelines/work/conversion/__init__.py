"""From a Hugging Face folder to GGUF: guarded folder, official converter, proof that prompts stay the same."""
