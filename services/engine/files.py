"""A model's folder -> its digest, or why it may not be loaded. No torch."""

from hashlib import file_digest, sha256
from pathlib import Path

from services.errors import ModelRefused

#: Pickles run code when loaded, and Python files are code.
UNSAFE = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".py"}


def refuse_unsafe(folder: Path) -> None:
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in UNSAFE:
            raise ModelRefused(f"{file.relative_to(folder)} could run code; only safetensors load")


def digest(folder: Path) -> str:
    """SHA-256 over names and SHA-256s of the files that make pictures: no cards, nothing hidden."""
    total = sha256()
    names = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    for name in sorted(names, key=Path.as_posix):
        if name.suffix != ".md" and not any(part.startswith(".") for part in name.parts):
            with (folder / name).open("rb") as file:
                total.update(
                    f"{file_digest(file, 'sha256').hexdigest()}  {name.as_posix()}\n".encode()
                )
    return total.hexdigest()
