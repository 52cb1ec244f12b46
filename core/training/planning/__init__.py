"""What a run will do and cost, known before any weight is loaded."""
