"""One exception for everything a user can put right."""


class UserError(ValueError):
    """A mistake of the user, reported in sentences that name the value, the limit and the remedy.

    The command line prints it and ends with exit code 2; the page shows it as a message. Anything that
    is not a UserError is a mistake of the program and keeps its traceback.
    """
