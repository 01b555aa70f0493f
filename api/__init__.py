"""Who asks: HTTP in, a service called, the read model back."""
