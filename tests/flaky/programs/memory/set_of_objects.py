# flips to: runtime_error
# also: random

class Thing:
    def __init__(self, number):
        self.number = number


things = [Thing(number) for number in range(2)]

assert list(set(things))[0] is things[0]
