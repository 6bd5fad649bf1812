"""The page: one module per tab, over the library. Nothing here knows torch."""
