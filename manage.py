#!/usr/bin/env python
import os
import sys
from pathlib import Path

from kameng import embedded


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kameng.settings")
    if sys.argv[1:2] != ["up"]:
        embedded.recall(Path(__file__).resolve().parent / "var")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
