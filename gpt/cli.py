"""Shared by all commands: a UserError ends the program with exit code 2 and one line that says what to change."""

import argparse
import contextlib
import difflib
import sys
from collections.abc import Iterator
from typing import NoReturn

from gpt.errors import UserError
from gpt.escape import escaped


class Parser(argparse.ArgumentParser):
    """An argument parser that reports errors in one line and suggests the closest flag for an unknown one."""

    def __init__(self, **options):
        super().__init__(**options, allow_abbrev=False)

    def parse_args(self, args=None, namespace=None):
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flag = unknown[0].split("=")[0]
            near = difflib.get_close_matches(flag, self._option_string_actions, n=1)
            self.error(f"unknown flag {flag}" + (f": did you mean {near[0]}?" if near else ": --help lists all"))
        return options

    def error(self, message: str) -> NoReturn:
        one_line = escaped(" ".join(message.split()))
        print(f"{self.prog}: {one_line}", file=sys.stderr)
        raise SystemExit(2)


@contextlib.contextmanager
def user_errors_exit(parser: Parser) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        parser.error(str(error))
