"""retune-agent: the program beside a client's Ollama. It connects out only, and serves on when headquarters is gone."""
