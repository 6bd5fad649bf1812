"""What the Attention tab answers: each module one way of looking, as functions from what was seen and a question to JSON."""
