"""A dataset and contenders become a review whose responses are all there."""
