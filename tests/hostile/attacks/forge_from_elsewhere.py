# property: verdict cannot be forged
# tests: add calls
# expect: wrong_answer
# not claimed: inline: what can't cross is judged in one process, where the object's equality is in force
"""An object that is equal to everything and says that it is no class of the candidate's."""


class Anything:
    __module__ = "numpy"

    def __eq__(self, other):
        return True


def add(a, b):
    return Anything()
