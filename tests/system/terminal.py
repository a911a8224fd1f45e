"""A program at a terminal of its own: what it writes, and what is typed to it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time


class Terminal:
    """Context manager: `command` runs with a pseudo-terminal as its controlling one."""

    def __init__(self, command, rows: int = 24, columns: int = 80, **environment: str):
        self.text = ""
        self.status: int | None = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # Waits for a byte, so that size and modes are set before the program sees them.
            os.read(0, 1)
            os.execvpe(str(command[0]), [str(word) for word in command], {**os.environ, "TERM": "xterm", **environment})
        modes = termios.tcgetattr(self.fd)
        self.resize(rows, columns)
        os.write(self.fd, b"\n")
        self.modes = modes

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def read(self, patience_s: float) -> bool:
        """Takes what there is; False at the end of output."""
        if not select.select([self.fd], [], [], patience_s)[0]:
            return True
        try:
            piece = os.read(self.fd, 65536)
        except OSError:  # Linux' way to say that nobody has the terminal open any more
            return False
        self.text += piece.decode(errors="replace")
        return bool(piece)

    def expect(self, pattern: str, within_s: float = 20.0) -> str:
        """Reads until `pattern` is there; returns everything up to its end and forgets it."""
        deadline = time.monotonic() + within_s
        while True:
            found = re.search(pattern, self.text)
            if found:
                seen, self.text = self.text[: found.end()], self.text[found.end() :]
                return seen
            if time.monotonic() > deadline or not self.read(0.1):
                raise AssertionError(f"{pattern!r} did not come; the terminal has {self.text!r}")

    def end(self, within_s: float = 20.0) -> int:
        """Waits for the program's end; returns its exit code, or minus the signal that ended it."""
        deadline = time.monotonic() + within_s
        while self.read(0.05):
            if time.monotonic() > deadline:
                raise AssertionError(f"it does not end; the terminal has {self.text!r}")
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
                break
        if self.status is None:
            self.status = os.waitpid(self.pid, 0)[1]
        return os.waitstatus_to_exitcode(self.status)

    def restored(self) -> bool:
        """The terminal's modes are as they were before the program."""
        return termios.tcgetattr(self.fd) == self.modes


def plain(text: str) -> str:
    """`text` without escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
