"""The workspace folder and its one SQLite file. Knows no model and no tensor."""
