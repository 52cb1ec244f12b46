"""Which pair a reviewer sees next, and what becomes of their verdict."""
