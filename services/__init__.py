"""What is done: one rule or one outside system a file."""
