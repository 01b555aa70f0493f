"""Pictures that a URL stands for: made at the first request, kept for all that follow."""
