"""Bytes on disk become raw rows, whatever kind of file they come in; begin at read_file.py."""
