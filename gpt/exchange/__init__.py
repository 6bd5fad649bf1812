"""Models of this project in the formats of other programs."""
