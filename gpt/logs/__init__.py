"""The rows of a run in the logs of other programs, for those who compare their experiments there."""
