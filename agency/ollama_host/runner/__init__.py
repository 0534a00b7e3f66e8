"""The model's own process: rendering, tokenising and decoding, where an abort of llama.cpp ends nothing but itself."""
