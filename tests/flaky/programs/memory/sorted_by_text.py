# flips to: runtime_error

class Thing:
    def __init__(self, number):
        self.number = number


things = [Thing(number) for number in range(2)]

assert sorted(things, key=repr)[0] is things[0]
