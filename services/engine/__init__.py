"""What a GPU does: the only place that knows torch and diffusers."""
