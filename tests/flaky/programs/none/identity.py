class Thing:
    pass


one, other = Thing(), Thing()
assert one is not other and one == one and len({one, other}) == 2
