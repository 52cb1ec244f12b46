"""The engine's command line: options, commands, and what they print."""
