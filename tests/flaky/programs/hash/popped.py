# flips to: wrong_answer
# tests: assert f("abba") == "a"

def f(text):
    return set(text).pop()
