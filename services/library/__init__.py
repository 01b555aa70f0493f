"""A project's library: its images, flows and aliases, and the feed of what happens to them."""
