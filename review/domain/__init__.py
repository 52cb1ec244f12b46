"""The values of judging: plans, contenders, ratings, rubrics. Knows no table and no screen."""
