"""What machines and people read about the API: OpenAPI, AsyncAPI and their pages."""
