"""The exception for all errors that the user can correct."""


class UserError(ValueError):
    """An error that the user can correct. Its message names the value, the limit and the remedy.

    The command line prints it and ends with exit code 2; the page shows it as a message. Anything that
    is not a UserError is a bug in the program and keeps its traceback.
    """
