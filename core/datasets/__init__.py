"""A file becomes examples: reading, shapes, checks, splits. Knows no model and no tensor."""
