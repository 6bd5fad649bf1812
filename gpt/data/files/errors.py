"""What reading a file can end with."""


class UnreadableFile(Exception):
    """A file that cannot be read as text. The message says why, as a clause that begins with "it"."""
