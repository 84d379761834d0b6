"""Where commands are typed, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS = 120.0
"""What a command is given on a busy machine."""


class Computer:
    """Where commands are typed: a home, a state folder and a configuration, all of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "doorward.toml"
        self.configure("")

    def configure(self, text: str) -> None:
        self.config.write_text(f'state_directory = "{self.state}"\n{text}', encoding="utf-8")

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "agent", "--config", str(self.config), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=os.environ | {"HOME": str(self.folder), "TMPDIR": str(self.folder)},
        )

    def type(self, *words: str) -> tuple[int, str, str]:
        """Give the exit code, what was printed, and what was complained of."""
        process = self.start(*words)
        out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out, err

    def ask(self, *words: str) -> list[Any]:
        """Type a command that must succeed, with --json, and give the object of each line."""
        code, out, err = self.type(*words, "--json")
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()]

    def refuses(self, *words: str) -> str:
        """Type a command that must be refused in one line, and give the line."""
        code, out, err = self.type(*words)
        assert code == 2, out + err
        assert "Traceback" not in err
        assert err.startswith("doorward: ")
        assert err.count("\n") == 1, err
        return err
