"""Benchmarks: the field's public tests and one's own, through lm-eval's tasks on our scorer and
decoder.
"""
