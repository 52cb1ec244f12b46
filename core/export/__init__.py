"""Models to take away: merged, as an adapter, as GGUF for llama.cpp, with a Modelfile for Ollama."""
