"""Pure statistics of verdicts. Knows no table and no screen."""
