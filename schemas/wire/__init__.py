"""One file a dialect: its bodies and its state words."""
