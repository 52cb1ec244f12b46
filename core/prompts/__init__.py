"""Conversations become text, text becomes token ids with a loss mask, ids become batches."""
