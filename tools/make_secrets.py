"""Makes the secrets of docker-compose.yml, once: random passwords and the addresses that carry them."""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POSTGRES, REDIS = "postgres:5432", "redis:6379"


def drawn(postgres: str = POSTGRES, redis_at: str = REDIS) -> dict[str, str]:
    """File name -> content, for servers at these addresses. Passwords are hexadecimal: nothing to quote in a URL."""
    admin, owner, app, redis = (secrets.token_hex(24) for _ in range(4))
    return {
        "secret_key": secrets.token_urlsafe(50),
        "postgres_password": admin,
        "database_admin_url": f"postgresql://admin:{admin}@{postgres}/postgres",
        "database_owner_url": f"postgresql://retune_owner:{owner}@{postgres}/retune",
        "database_url": f"postgresql://retune_app:{app}@{postgres}/retune",
        "redis_password": redis,
        "redis_url": f"redis://:{redis}@{redis_at}/0",
    }


def make(folder: Path, postgres: str = POSTGRES, redis_at: str = REDIS) -> bool:
    """False, and nothing changed, where secrets are already: new ones would lock the databases out."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        return False
    for name, text in drawn(postgres, redis_at).items():
        path = folder / name
        path.write_text(text)
        # The folder is closed to other accounts; compose mounts single files, which the containers' accounts must read.
        path.chmod(0o644)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgres", metavar="HOST:PORT", default=POSTGRES, help="where the database will be")
    parser.add_argument("--redis", metavar="HOST:PORT", default=REDIS, help="where Redis will be")
    chosen, folder = parser.parse_args(), ROOT / "secrets"
    if make(folder, chosen.postgres, chosen.redis):
        print(f"Secrets are in {folder}. Keep a copy of them elsewhere.")
        return 0
    print(f"{folder} is not empty: left as it is.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
