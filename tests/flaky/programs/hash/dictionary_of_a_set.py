# flips to: wrong_answer
# tests: assert list(f('to be to be'))[0] == 'be'

def f(text):
    return {word: len(word) for word in frozenset(text.split())}
