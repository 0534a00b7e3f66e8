"""Finds the servers and the browser that the tests start, and installs what is missing where it may."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


class MissingProgram(RuntimeError):
    """A program of the system is not there and cannot be installed from here; the message says what to do."""

    permanent = True


@dataclass(frozen=True)
class Program:
    """A program by the names and folders under which systems know it; `package` is its Debian package."""

    names: tuple[str, ...]
    package: str
    folders: tuple[str, ...] = ()

    def find(self) -> Path | None:
        """PATH first, then the newest of the known folders."""
        for name in self.names:
            if found := shutil.which(name):
                return Path(found)
        spots = [spot for pattern in self.folders for spot in Path("/").glob(pattern.lstrip("/"))]
        made = [spot / name for spot in sorted(spots, key=_version, reverse=True) for name in self.names]
        return next((path for path in made if os.access(path, os.X_OK)), None)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.parts if part.isdigit())


POSTGRES_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
PROGRAMS: dict[str, Program] = {
    "postgres": Program(("postgres",), "postgresql", POSTGRES_FOLDERS),
    "initdb": Program(("initdb",), "postgresql", POSTGRES_FOLDERS),
    "redis-server": Program(
        ("redis-server", "valkey-server"), "redis-server", ("/usr/local/sbin", "/opt/homebrew/bin")
    ),
    "redis-cli": Program(("redis-cli", "valkey-cli"), "redis-tools", ("/usr/local/bin", "/opt/homebrew/bin")),
    "pg_isready": Program(("pg_isready",), "postgresql-client", POSTGRES_FOLDERS),
    "chromium": Program(("chromium", "chromium-browser", "google-chrome", "chrome"), "chromium", ("/snap/bin",)),
}


def find(name: str) -> Path:
    """Where program `name` is. Raises `MissingProgram` with what to do."""
    found = PROGRAMS[name].find()
    if found is None:
        package = PROGRAMS[name].package
        raise MissingProgram(
            f"{name} is missing: run `make setup-test` as root, or install the package {package} yourself."
        )
    return found


def missing_packages() -> list[str]:
    return sorted({program.package for program in PROGRAMS.values() if program.find() is None})


def install(packages: list[str]) -> None:
    """By apt-get, as root only. Raises `MissingProgram` where that is not possible."""
    apt = shutil.which("apt-get")
    if os.geteuid() != 0 or apt is None:
        raise MissingProgram(
            f"The tests need {', '.join(packages)}. Install them with your system's package tool "
            f"(Debian, Ubuntu: sudo apt-get install -y {' '.join(packages)})."
        )
    # RUNLEVEL=1 keeps the packages from starting services: the tests start their own, elsewhere.
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    print(f"Installing by apt-get: {' '.join(packages)} (no service is started)", flush=True)
    subprocess.run([apt, "update", "-q"], check=True, env=env, stdout=subprocess.DEVNULL)
    command = [apt, "install", "-y", "-q", "--no-install-recommends", *packages]
    subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)


def main() -> int:
    try:
        if packages := missing_packages():
            install(packages)
        for name in PROGRAMS:
            print(f"{name:13} {find(name)}")
    except MissingProgram as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
