"""What RouterOS refuses, in its words."""


CATEGORIES = {  # the manual, "API": 0 is a missing item or command, 1 a wrong value
    0: ("no such command", "unknown parameter"),
    1: ("input does not match", "invalid value for argument", "value of ")}


class Trap(Exception):
    """A command that failed: !trap over the API, a red line in a terminal."""

    def __init__(self, message, category=None):
        super().__init__(message)
        self.message = message
        self.category = next((number for number, heads in CATEGORIES.items() if message.startswith(heads)), None) \
            if category is None else category
