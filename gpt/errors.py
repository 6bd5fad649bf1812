"""One exception for everything a user can put right."""


class UserError(ValueError):
    """A mistake of the person at the controls, told in sentences that name the value, the limit and the remedy.

    The command line prints it and ends with exit code 2; the page shows it where the person is looking. Anything
    that is not a UserError is a mistake of ours and keeps its traceback.
    """
