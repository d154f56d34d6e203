"""For operators, in production and in the container: requirements.txt is all that it needs."""
