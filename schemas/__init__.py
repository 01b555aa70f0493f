"""What travels: pydantic models only, nothing of ours imported."""
