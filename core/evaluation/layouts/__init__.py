"""Data of benchmarks as their authors publish them, read into the rows that lm-eval's tasks expect."""
