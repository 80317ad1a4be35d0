# tests: add unittest
def add(a, b):
    return a + b
