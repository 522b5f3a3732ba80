"""``python -m sandbox``: serve; ``keys`` and ``env`` print and leave."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from sandbox import keys, unionpay_keys


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("serve", "keys", "env"))
    parser.add_argument("--host", default="127.0.0.1", help="address to answer on")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--dir", type=Path, default=Path("var/sandbox"))
    parser.add_argument(
        "--base-url",
        help="env: how shop and browsers reach it, if not by host and port",
    )
    arguments = parser.parse_args()
    match arguments.command:
        case "keys":
            keys.load(arguments.dir)
            unionpay_keys.load(arguments.dir)
            print(arguments.dir / "keys.json")  # noqa: T201
        case "env":
            base_url = arguments.base_url or f"http://{arguments.host}:{arguments.port}"
            environment = keys.environment(arguments.dir, base_url)
            environment |= unionpay_keys.environment(arguments.dir, base_url)
            json.dump(environment, sys.stdout, indent=1)
            print()  # noqa: T201
        case _:
            return _serve(arguments.host, arguments.port, arguments.dir)
    return 0


def _serve(host: str, port: int, directory: Path) -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "sandbox.settings"
    os.environ["SANDBOX_DIR"] = str(directory.resolve())
    keys.load(directory)
    unionpay_keys.load(directory)
    from sandbox.server import serve

    try:
        serve(host, port)
    except OSError as error:
        print(f"sandbox: {host}:{port}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
