"""Model folders, and the package that makes the embedded one."""
