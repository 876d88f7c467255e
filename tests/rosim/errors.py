"""What RouterOS refuses, in its words."""


class Trap(Exception):
    """A command that failed: !trap over the API, a red line in a terminal. Categories: the manual, "API"."""

    def __init__(self, message, category=None):
        super().__init__(message)
        self.message = message
        self.category = category
